"""Checkpoints and compactions, as `raft/housekeeping.py` and the child that it starts make them.

When they are due is not asked here: it is the world that has them made, at any moment and at any applied index.
"""

from typing import TYPE_CHECKING

from chat.state import ChatState
from raft.compaction import compact, write_checkpoint
from raft.errors import StartRefused
from raft.files import LINGER_S
from raft.messages import SnapshotMeta
from raft.snapshots import snapshot_index
from tests.simulation.disk import Died
from tests.simulation.invariants import Violation
from tests.simulation.machine import DIRECTORY, snapshot_of

if TYPE_CHECKING:
    from tests.simulation.process import Process

CHILD_DIES = 0.2
CHILD_OPERATIONS = 8  # within which it dies
CHILD_TAKES_MS = 300  # at most
SWEEP_EVERY_MS = 500.0
REWRITES = {"compaction": compact, "checkpoint": write_checkpoint}


class Housekeeping:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._busy = False  # one child at a time
        process.schedule(SWEEP_EVERY_MS, self._sweep)

    def _sweep(self) -> None:
        process = self._process
        process.schedule(SWEEP_EVERY_MS, self._sweep)
        process.storage.sweep(process.now_s * LINGER_S / process.world.scenario.linger_s)

    def rewrite(self, kind: str) -> None:
        """A checkpoint or a compaction is asked for now, of what is applied; the child takes a while."""
        process, world = self._process, self._process.world
        up_to = process.last_applied
        if self._busy or not any(entry.index <= up_to for entry in process.machine.configurations):
            return  # nobody is that early: the log keeps its newest entries
        self._busy = True
        world.invariants.state(process.machine, up_to, process.digest())
        world.schedule.after(world.rng.random() * CHILD_TAKES_MS, self._rewrite, kind, up_to)

    def _rewrite(self, kind: str, up_to: int) -> None:
        """What the child does, at once."""
        process, world, disk = self._process, self._process.world, self._process.machine.disk
        self._busy = False
        if process.machine.wiped or (not process.alive and world.rng.random() < 0.5):
            return  # it has seen that its parent is gone; otherwise it is too late for that
        disk.failed, child_dies = False, world.rng.random() < CHILD_DIES
        if child_dies:
            disk.fuse = world.rng.randint(0, CHILD_OPERATIONS)
        try:
            meta = REWRITES[kind](disk, DIRECTORY, up_to, ChatState())
        except (LookupError, OSError, StartRefused) as error:
            # It may be beside a newer snapshot, of which the process has not heard yet.
            if not disk.failed and not any(snapshot_index(name) >= up_to for name in disk.list(DIRECTORY)):
                refused = f"member {process.id} cannot make a {kind} of {up_to}: {error!r}"
                raise Violation("believable", refused) from error
            return
        except Died:
            world.counts["rewrites that died"] += 1
            return
        finally:
            disk.failed = False
            disk.revive()
        snapshot_of(meta, world.invariants.committed)
        world.counts[f"{kind}s"] += 1
        process.schedule(world.rng.choice([0, 0, 100]) * world.rng.random(), self._rewritten, kind, meta)

    def _rewritten(self, kind: str, meta: SnapshotMeta) -> None:
        """The process hears of it."""
        storage = self._process.storage
        if kind == "checkpoint":
            storage.checkpointed(meta)
            return
        try:
            storage.adopt(meta)
        except FileNotFoundError:
            if storage.base_index < meta.index:
                raise
            return  # a newer base was installed, and what it replaced has been swept away
        self._process.enter(self._process.node.compacted, meta)
