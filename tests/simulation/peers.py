"""Replication and the check for a removal, as `raft/engine/replication.py` and `removal_check.py` do them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

from raft.core.entries import entry_of_verified
from raft.core.node import Role
from raft.core.raft_messages import AppendEntries, InstallSnapshot, Message, Reply, Request
from raft.engine.removal_check import SILENT_TIMEOUTS
from raft.engine.replication import APPENDS, SNAPSHOTS, URGENT, send_snapshot
from raft.errors import CorruptLog, InvalidMessage, OlderCopy, RefusedPeer
from raft.rpc.calls import Hello, HelloReply, RecordedBoot, Sender, SnapshotChunk, SnapshotChunkReply
from raft.rpc.peer_auth import check_sender, cluster_named_by
from raft.storage.file_names import SnapshotFile
from raft.storage.log_store import Storage
from tests.simulation.invariants import Violation
from tests.simulation.network import Answered

if TYPE_CHECKING:
    from tests.simulation.process import Process

PATIENT_TIMEOUTS = 4  # election timeouts that whatever waits for a disk may take


class Peers:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._queues: dict[tuple[int, str], _PeerQueue] = {}
        self._timeout_ms = process.world.scenario.settings.election_timeout_ms
        self._silent_ms = SILENT_TIMEOUTS * self._timeout_ms
        process.schedule(self._silent_ms, self._look_out)

    def send(self, message: Request) -> None:
        """Give it to its queue."""
        kind = _kind(message)
        queue = self._queues.get((message.target, kind))
        if queue is None:
            queue = self._queues[message.target, kind] = _PeerQueue(self._process, one_at_a_time=kind == SNAPSHOTS)
        queue.send(message)

    def call(self, message: Request, over: Callable[[], None]) -> None:
        """Deliver it to its target; `over()` when that is done or has failed."""
        kind = _kind(message)

        def done(answered: Answered) -> None:
            if not self._take_answer(message.target, answered):
                failed()
                return
            over()

        def failed() -> None:
            if not self._process.alive:
                return  # that answer has told it that it was removed
            if kind != URGENT:
                self._process.enter(self._process.node.unreachable, message.target)
            over()

        if isinstance(message, InstallSnapshot):
            _Shipment(self._process, message, lambda: self._deliver(message, done, failed), failed).go_on()
            return
        try:
            loaded = self._load(message)
        except LookupError:
            self._process.schedule(0, failed)
            return
        except CorruptLog as damage:
            self.cannot_send(message, damage, failed)
            return
        if loaded is None:
            over()
        else:
            self._deliver(loaded, done, failed)

    def _deliver(self, message: Request, done: Callable[[Answered], None], failed: Callable[[], None]) -> None:
        timeout_ms = self._timeout_ms * (1 if _kind(message) == URGENT else PATIENT_TIMEOUTS)
        self._process.world.network.ask(
            self._process, message, timeout_ms, done, failed, partial(self._take_answer, message.target)
        )

    def _load(self, message: Request) -> Request | None:
        if not isinstance(message, AppendEntries) or message.entries is not None:
            return message
        bytes_max = self._process.world.scenario.settings.append_bytes_max
        records = self._process.storage.reader.read(message.prev_log_index + 1, message.last_index, bytes_max)
        if self._process.node.role is not Role.LEADER or self._process.node.current_term != message.term:
            return None
        return replace(message, entries=tuple(entry_of_verified(record) for record in records))

    def cannot_send(self, message: Request, damage: CorruptLog, failed: Callable[[], None]) -> None:
        """Leave out what is damaged."""
        if self._process.healing is None:
            raise damage
        self._process.healing.cannot_send(message, damage, failed)

    def _take_answer(self, member: int, answered: Answered) -> bool:
        """An answer of another Node; whether it was one."""
        sender, reply = answered
        if isinstance(reply, RefusedPeer):
            if reply.code == "removed" and sender.cluster_id == self._process.sender.cluster_id:
                self._process.world.removed(self._process)
            self.take_refusal(member, reply)
            return False
        assert isinstance(reply, Reply) and reply.source == member

        def take(reply: Message) -> None:
            node = self._process.node
            check_sender(sender, self._process.sender.cluster_id, node.committed_configuration, node.configuration)
            self._process.world.invariants.believed(node, sender)
            node.identified(member, sender.incarnation, sender.advertise, sender.level, max(sender.boots, default=0))
            self._process.node.step(reply)

        try:
            self._process.enter(take, reply)
        except OlderCopy as error:
            self.tell_older(sender, error)
            return False
        except RefusedPeer:
            return False
        except InvalidMessage as error:
            raise Violation("believable", f"member {self._process.id} does not believe {reply}: {error}") from error
        self._heard(sender)
        return True

    def take_refusal(self, member: int, refusal: RefusedPeer) -> None:
        """It may be told that it runs on an older copy."""
        if refusal.code == "older_copy" and self._process.alive:
            self._process.end_older(f"member {member} says so")

    def tell_older(self, sender: Sender, error: OlderCopy) -> None:
        """A member that answered is refused, and told so."""
        process = self._process
        process.world.invariants.refused_as_older(sender)
        told = RecordedBoot(process.id, error.member, error.boot)
        process.world.network.ask(process, told, self._timeout_ms, lambda answered: None, _nothing)

    def _heard(self, sender: Sender) -> None:
        process = self._process
        cluster_id = cluster_named_by(sender, process.sender.cluster_id, process.node.committed_configuration)
        if cluster_id != process.sender.cluster_id:
            process.sender = replace(process.sender, cluster_id=cluster_id)

    def _look_out(self) -> None:
        """Who hears nobody asks whether it is still a member."""
        process = self._process
        process.schedule(self._silent_ms, self._look_out)
        node = process.node
        if node.role is Role.LEADER or node.silent_ms < self._silent_ms:
            return

        def done(answered: Answered) -> None:
            sender, reply = answered
            self._heard(sender)
            same_cluster = sender.cluster_id and sender.cluster_id == process.sender.cluster_id
            if same_cluster and isinstance(reply, HelloReply) and process.id in reply.removed:
                process.world.removed(process)

        for member in node.configuration.members:
            if member != process.id:
                process.world.network.ask(process, Hello(process.id, member), self._timeout_ms, done, _nothing)


class _Pending(Exception):
    """An answer that is not here yet."""


class _Shipment:
    """`replication.send_snapshot` without a thread: run from its beginning on all answers so far."""

    def __init__(
        self, process: "Process", message: InstallSnapshot, over: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        self.snapshot = process.storage.snapshot  # as when it began
        self._process = process
        self._message = message
        self._over = over
        self._failed = failed
        self._answers: list[SnapshotChunkReply] = []
        self._asked = 0

    def read_snapshot(self, file: SnapshotFile, offset: int, bytes_max: int) -> bytes:
        """In chunks of this world's size."""
        process = self._process
        return process.storage.read_snapshot(file, offset, min(bytes_max, process.world.scenario.chunk_bytes))

    def go_on(self) -> None:
        """Until the next answer is needed."""
        self._asked = 0
        message = self._message
        try:
            send_snapshot(cast(Storage, self), message.source, message.target, message.snapshot, self._ask)
        except _Pending:
            return
        except CorruptLog as damage:
            self._process.peers.cannot_send(message, damage, self._failed)
            return
        except (OSError, LookupError):
            self._process.world.schedule.after_for(self._process, 0, self._failed)
            return
        self._process.world.counts["snapshots sent"] += self._asked > 1
        self._over()

    def _ask(self, chunk: SnapshotChunk) -> SnapshotChunkReply:
        self._asked += 1
        if self._asked <= len(self._answers):
            return self._answers[self._asked - 1]
        node, world = self._process.node, self._process.world
        if node.role is not Role.LEADER or node.current_term != self._message.term:
            raise ConnectionAbortedError("this member does not lead any more")
        timeout_ms = PATIENT_TIMEOUTS * world.scenario.settings.election_timeout_ms
        world.network.ask(self._process, chunk, timeout_ms, self._done, self._failed)
        raise _Pending

    def _done(self, answered: Answered) -> None:
        reply = answered[1]
        if not isinstance(reply, SnapshotChunkReply):
            self._failed()
            return
        self._answers.append(reply)
        self.go_on()


class _PeerQueue:
    """To one member; in a tame world one call at a time, and of each kind the newest waits."""

    def __init__(self, process: "Process", *, one_at_a_time: bool) -> None:
        self._process = process
        self._tame = one_at_a_time or process.world.scenario.tame
        self._waiting: dict[type[Message], Request] = {}
        self._busy = False

    def send(self, message: Request) -> None:
        """Never at once: the Node is in the middle of its Ready."""
        self._waiting[type(message)] = message
        if not self._busy:
            self._busy = True
            self._process.world.schedule.after_for(self._process, 0, self._next)

    def _next(self) -> None:
        while self._waiting:
            message = self._waiting.popitem()[1]
            self._process.peers.call(message, self._over if self._tame else _nothing)
            if self._tame:
                return
        self._busy = False

    def _over(self) -> None:
        self._busy = False
        if self._waiting:
            self._busy = True
            self._process.world.schedule.after_for(self._process, 0, self._next)


def _kind(message: Message) -> str:
    """The kind of queue that it takes."""
    if isinstance(message, InstallSnapshot):
        return SNAPSHOTS
    return APPENDS if isinstance(message, AppendEntries) and not message.heartbeat else URGENT


def _nothing() -> None:
    pass
