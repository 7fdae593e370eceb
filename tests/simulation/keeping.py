"""Checkpoints, indexes and compactions, as `raft/compaction/policy.py` and the child that it starts make them.

When they are due is not asked here: it is the world that has them made, at any moment and at any applied index.
A checkpoint is the process's own: it goes on in steps, between which everything else happens, and dies with it.
"""

from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING

from chat.state.machine import ChatState
from raft.compaction.child_process import damage_met
from raft.compaction.compactor import compact
from raft.core.raft_messages import SnapshotMeta
from raft.errors import StartRefused
from raft.storage.file_names import snapshot_index
from raft.storage.file_set import LINGER_S
from raft.storage.snapshot_file import Document
from tests.simulation.disk import Died
from tests.simulation.invariants import Violation
from tests.simulation.machine import DIRECTORY, snapshot_of

if TYPE_CHECKING:
    from tests.simulation.process import Process

CHILD_DIES = 0.2
DIES = 0.05  # in a step of a checkpoint
OPERATIONS = 8  # within which it dies
CHILD_TAKES_MS = 300  # at most
STEP_TAKES_MS = 30  # at most, with the rest before it
SWEEP_EVERY_MS = 500.0


class Housekeeping:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._busy = False  # one child at a time
        self.is_renewing = False  # the base is made anew, which the same thread does
        self._sweeps = 0
        self._steps: Generator[None, None, None] | None = None  # of the checkpoint that is being written
        process.schedule(SWEEP_EVERY_MS, self._sweep)

    def _sweep(self) -> None:
        process = self._process
        process.schedule(SWEEP_EVERY_MS, self._sweep)
        process.storage.sweep(process.now_s * LINGER_S / process.world.scenario.linger_s)
        process.storage.keep_indexes()
        self._sweeps += 1
        if self._sweeps % 3 == 0:  # as it is after texts were taken back
            process.storage.end_segment()

    @property
    def is_idle(self) -> bool:
        """Return whether no child runs, and no checkpoint is being made."""
        return not self._busy and self._steps is None

    def die(self) -> None:
        """The process is gone: what it was writing lies there as it is."""
        steps, self._steps = self._steps, None
        if steps is not None:
            disk = self._process.machine.disk
            before, disk.dead = disk.dead, True
            with suppress(Died):
                steps.close()
            disk.dead = before

    # Checkpoints

    def checkpoint(self) -> None:
        """One is made of the state as it is now."""
        process = self._process
        if self._steps is None and not self.is_renewing and process.last_applied and not process.digests.is_changed:
            process.world.invariants.state(process.machine, process.last_applied, process.digest())
            meta = process.replicated.meta
            self._steps = process.storage.write_checkpoint(Document(meta, process.replicated.document()))
            process.schedule(process.world.rng.random() * STEP_TAKES_MS, self._step, meta)

    def _step(self, meta: SnapshotMeta) -> None:
        process, world, disk = self._process, self._process.world, self._process.machine.disk
        if self._steps is None:
            return
        dies = disk.fuse < 0 and world.rng.random() < DIES
        if dies:
            disk.fuse = world.rng.randint(0, OPERATIONS)
        try:
            next(self._steps)
        except StopIteration:
            self._steps = None
            snapshot_of(meta, world.invariants.committed)
            world.counts["checkpoints"] += 1
        except OSError:  # the disk's; the log goes on
            self._steps, disk.failed = None, False
        else:
            process.schedule(world.rng.random() * STEP_TAKES_MS, self._step, meta)
        finally:
            if dies and not disk.dead:
                disk.fuse = -1

    # Compactions

    def want(self, above: int) -> None:
        """A member needs a snapshot above this index."""
        if self._process.storage.base_index <= above < self._process.last_applied:
            self.compact()

    def compact(self) -> None:
        """One is asked for now, of what is applied; the child takes a while."""
        process, world = self._process, self._process.world
        up_to = process.last_applied
        if (
            process.digests.is_changed
            or self.is_renewing
            or self._busy
            or not any(entry.index <= up_to for entry in process.machine.configurations)
        ):
            return  # nobody is that early: the log keeps its newest entries
        self._busy = True
        world.invariants.state(process.machine, up_to, process.digest())
        world.schedule.after(world.rng.random() * CHILD_TAKES_MS, self._compact, up_to)

    def _compact(self, up_to: int) -> None:
        """What the child does, at once."""
        process, world, disk = self._process, self._process.world, self._process.machine.disk
        self._busy = False
        if process.machine.wiped or (process.machine.older is not None and not process.alive):
            return
        if not process.alive and world.rng.random() < 0.5:
            return  # it has seen that its parent is gone; otherwise it is too late for that
        disk.failed, child_dies = False, world.rng.random() < CHILD_DIES
        if child_dies:
            disk.fuse = world.rng.randint(0, OPERATIONS)
        try:
            meta = compact(disk, DIRECTORY, up_to, ChatState())
        except (LookupError, OSError, StartRefused) as error:
            damage = damage_met(error, DIRECTORY) if process.healing is not None and not disk.failed else None
            if damage is not None and process.healing is not None:
                if process.alive:
                    process.schedule(0, process.healing.compaction_met, damage)
                return
            # It may be beside a newer snapshot, of which the process has not heard yet.
            if (
                not disk.failed
                and disk.room < 0
                and not any(snapshot_index(name) >= up_to for name in disk.list(DIRECTORY))
            ):
                refused = f"member {process.id} cannot make a compaction of {up_to}: {error!r}"
                raise Violation("believable", refused) from error
            return
        except Died:
            world.counts["rewrites that died"] += 1
            return
        finally:
            disk.failed = False
            disk.revive()
        snapshot_of(meta, world.invariants.committed)
        world.counts["compactions"] += 1
        process.schedule(world.rng.choice([0, 0, 100]) * world.rng.random(), self._compacted, meta)

    def _compacted(self, meta: SnapshotMeta) -> None:
        """The process hears of it."""
        storage = self._process.storage
        try:
            storage.adopt(meta)
        except FileNotFoundError:
            if storage.base_index < meta.index:
                raise
            return  # a newer base was installed, and what it replaced has been swept away
        self._process.enter(self._process.node.compacted, meta)
