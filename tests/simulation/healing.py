"""Scrub and repair of one process: raft/repair itself, over this world's network and in its time.

`Healing`, `Repairer`, `Fetcher` and `Scrub` are the real ones, and run their own loops in tasks.  Here is what they
stand on: a connection to another member, the applier that a new base is made of, and the errands that other threads of
a member have with them.
"""

from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from raft.core.raft_messages import InstallSnapshot, Request, SnapshotMeta
from raft.engine.applier import Applier
from raft.engine.damage import Damage
from raft.engine.own_identity import OwnIdentity
from raft.engine.replication import DAMAGE_PAUSE_S, MEND_S
from raft.errors import ChangeRefused, CorruptLog, DiskFull, InvalidMessage, NotLeader, RefusedPeer
from raft.repair.base_renewal import renew_base
from raft.repair.healing import Healing as EngineHealing
from raft.rpc.calls import FetchEntries, Sender
from raft.rpc.codec import decode_call, encode
from raft.rpc.peer_client import Addresses
from raft.storage.snapshot_file import Document
from tests.simulation.network import Answered
from tests.simulation.tasks import SCALE, Condition, Tasks

if TYPE_CHECKING:
    from tests.simulation.process import Process

SCRUB_BYTES_PER_S = 4_000  # of the engine's seconds: a scrub takes about as long as an election
STEP_BYTES = 512  # read at once by a check, and at least a page
ASKED_SCRUB_BYTES_PER_S = 16_000
RENEWAL_S = 2.0  # between two looks at whether the base has to be made anew
RENEWAL_PAUSE_S = 0.05
DIES = 0.03  # in a pause of a renewal
OPERATIONS = 10  # within which it dies


class Connection:
    """Stands for `PeerConnection`: a call is a message of the network."""

    proved = None

    def __init__(self, url: str, addresses: Addresses, member: int) -> None:
        self._healing = cast("Healing", addresses)
        self._member = member

    def call(self, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Ask, and wait for the answer.  Raises OSError."""
        _, call = decode_call(body, 0)
        answered = self._healing.ask(call, timeout_s)
        if answered is None:
            raise ConnectionError(f"member {self._member} does not answer")
        sender, answer = answered
        if isinstance(answer, RefusedPeer):
            return HTTPStatus.CONFLICT, answer.code.encode()
        return HTTPStatus.OK, encode(sender, answer)

    def close(self) -> None:
        """Nothing is open."""


class _Own:
    """The member that asks."""

    def __init__(self, process: "Process") -> None:
        self.id = process.id
        self.older_copies = self
        self._process = process

    def sender(self) -> Sender:
        return self._process.sender

    def refused(self, member: int, body: bytes) -> RefusedPeer:
        return RefusedPeer(body.decode(), f"by member {member}")

    def note(self, error: object) -> None:
        """Whoever else asks that member tells it."""


class _Applier:
    """The applier, as far as a renewal needs it."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def document_and_live(self) -> "tuple[Document, array[int]] | None":
        process = self._process
        meta = process.replicated.meta
        if not meta.index:
            return None
        process.world.invariants.state(process.machine, process.last_applied, process.digest())
        return Document(meta, iter(list(process.replicated.document()))), process.state.live()


class Healing:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._tasks = Tasks(process)
        self._renews_base = False
        storage = process.storage
        self.engine: EngineHealing = EngineHealing(
            process.lock, storage, cast(OwnIdentity, _Own(process)), cast(Addresses, self), Damage(),
            end_segment=self._end_segment, ask_for_base=self._ask_for_base,
            make_base=lambda pause: renew_base(storage, cast(Applier, _Applier(process)), self.engine.records, pause),
            needed_among=set, scrub_bytes_per_s=SCRUB_BYTES_PER_S,
        )  # fmt: skip
        part: Any
        for part in (self.engine.repairer, self.engine.scrub):
            part._changed = Condition(self._tasks)
            part._clock = self._tasks.clock
        scrub: Any = self.engine.scrub
        scrub._due_s = self._tasks.clock() + process.world.rng.uniform(0, 60)

    def start(self) -> None:
        """As a member does with what its start has found."""
        process = self._process
        recovered = process.storage.recovered
        if recovered.needs_snapshot and recovered.base_damage is not None:
            process.lost_state(recovered.base_damage)
        self.engine.start()
        for _, run in self.engine.runs():
            self._tasks.start(run)
        self._tasks.start(self._maintain)

    def die(self) -> None:
        """The process is gone."""
        self._tasks.end()

    def note(self, damage: CorruptLog) -> None:
        """Somebody has met damage."""
        self._process.world.rot.met(self._process, damage)
        self.engine.repairer.note(damage)

    def ask(self, call: Any, timeout_s: float) -> Answered | None:
        """Call another member, for a task; None: no answer came."""
        answers: list[Answered] = []
        condition = Condition(self._tasks)

        def done(answered: Answered) -> None:
            answers.append(answered)
            condition.notify_all()

        network = self._process.world.network
        network.ask(self._process, call, timeout_s * 1000 / SCALE, done, condition.notify_all)
        condition.wait(10 * timeout_s)
        return answers[0] if answers else None

    def serve(self, call: FetchEntries) -> Any:
        """Answer another member."""
        answer = self.engine.answer(call)
        self._process.world.counts["entries fetched"] += len(answer.entries)
        return answer

    # What other threads of a member do with damage

    def cannot_send(self, message: Request, damage: CorruptLog, failed: Callable[[], None]) -> None:
        """As `replication.py`: wait until it is mended, or hand leadership over."""
        self._process.world.rot.met(self._process, damage)
        self._process.world.counts["sends that met damage"] += 1
        self._tasks.start(partial(self._handle_damage, message, damage, failed))

    def _handle_damage(self, message: Request, damage: CorruptLog, failed: Callable[[], None]) -> None:
        process = self._process
        if not self.engine.mended(damage, MEND_S):
            # What no entry describes lies in the base, which is made anew here and then sent.
            if damage.indexes and not isinstance(message, InstallSnapshot):
                with suppress(ChangeRefused, NotLeader):
                    process.enter(
                        lambda: process.node.transfer_leadership(process.node.best_successor(but=message.target))
                    )
            self._tasks.sleep(DAMAGE_PAUSE_S)
        failed()

    def compaction_met(self, damage: CorruptLog) -> None:
        """As `compaction/policy.py`: have all mended before another one is tried."""
        self._process.world.rot.met(self._process, damage)
        self._process.world.counts["compactions that met damage"] += 1
        self._renews_base = self._renews_base or not damage.indexes
        self._tasks.start(lambda: self.engine.mend_all(damage, 60))

    def _end_segment(self) -> None:
        """As `group_commit.py`: an empty write, behind those that are under way."""
        process = self._process
        while process.is_writing:
            self._tasks.sleep(0.1)
        process.storage.end_segment()
        process.storage.append(None, ())

    # The maintenance thread's part

    def _ask_for_base(self) -> None:
        self._renews_base = True

    def _maintain(self) -> None:
        while True:
            self._tasks.sleep(RENEWAL_S)
            if self._renews_base and not self._process.is_frozen and self._process.housekeeping.is_idle:
                self._process.housekeeping.is_renewing = True
                try:
                    self._renew()
                finally:
                    self._process.housekeeping.is_renewing = False

    def _renew(self) -> None:
        try:
            if self.engine.is_base_sound(self._pause):
                self._renews_base = False
                return
            meta = self.engine.renewed_base(self._pause)
        except (CorruptLog, InvalidMessage, DiskFull):
            return
        except OSError:
            self._process.machine.disk.failed = False
            return
        if meta is not None:
            self._renewed(meta)

    def _renewed(self, meta: SnapshotMeta) -> None:
        process = self._process
        self._renews_base = False
        process.world.counts["bases made anew"] += 1
        process.enter(process.node.compacted, meta)

    def _pause(self) -> None:
        process = self._process
        self._tasks.sleep(RENEWAL_PAUSE_S)
        if process.machine.disk.fuse < 0 and process.world.rng.random() < DIES:
            process.machine.disk.fuse = process.world.rng.randint(0, OPERATIONS)


def sound_indexes(process: "Process", indexes: Sequence[int]) -> set[int]:
    """Those of these entries that this process could send to another member."""
    call = FetchEntries(process.id, process.id, tuple(indexes))
    healing = process.healing
    return {entry.index for entry in healing.engine.answer(call).entries} if indexes and healing is not None else set()
