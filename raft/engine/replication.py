"""The queues to the other members: up to three each, made when needed, dropped after the member has left.

Heartbeats and votes wait for nothing, so one thread sends them to all members (rpc/peer_loop.py).  Appends may wait for
a follower's disk, and a snapshot's data as long as the transfer takes.  A candidate's votes are requested here too.  An
answer goes back into the Node; a lost append or snapshot is reported to it.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from raft.core.configuration import Configuration, Member
from raft.core.entries import entry_of_verified
from raft.core.node import Node, Role
from raft.core.pieces import Pieces
from raft.core.raft_messages import (
    AppendEntries,
    InstallSnapshot,
    Message,
    Reply,
    Request,
    RequestVote,
    SnapshotMeta,
    TimeoutNow,
)
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import NodeLock
from raft.engine.own_identity import OwnIdentity
from raft.errors import (
    ChangeRefused,
    CorruptLog,
    DiskFailed,
    InvalidMessage,
    NotLeader,
    OlderCopy,
    RefusedPeer,
    StartRefused,
)
from raft.metrics import Histogram
from raft.rpc.calls import RecordedBoot, Sender, SnapshotChunk, SnapshotChunkReply
from raft.rpc.codec import Answer, Call, decode_answer, encode
from raft.rpc.peer_auth import check_sender
from raft.rpc.peer_client import Addresses, PeerQueue
from raft.rpc.peer_loop import Lane, PeerLoop
from raft.storage.log_store import Storage

logger = logging.getLogger(__name__)

URGENT, APPENDS, SNAPSHOTS = "urgent", "append", "snapshot"
APPEND_TIMEOUTS = 4  # election timeouts that a follower's disk may take before the append is sent again
SNAPSHOT_PAUSE_S = 1.0  # after a transfer that broke off: a full disk lasts longer than that
MEND_S = 5.0  # for damaged entries to be mended, in the queue's own thread
DAMAGE_PAUSE_S = 5.0  # before damaged entries are tried again that no member has
SNAPSHOT_TIMEOUT_S = 30.0  # to write a chunk, or to sync the whole file, on a slow disk
POLL_SHARE = 2  # an election timeout divided by this: a piece that takes longer delays heartbeats
UNREACHABLE_TIMEOUTS = 8  # election timeouts without an answer, before a lost heartbeat is logged

CHUNK_BYTES = 1 << 20  # some milliseconds of a disk and of the other end's processor
STALLED_MAX = 8  # answers in a row without progress, before the transfer begins anew


class Peers:
    """Sends the Node's messages to the other members."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        own: OwnIdentity,
        contact: LeaderContact,
        addresses: Addresses,
        mended: Callable[[CorruptLog, float], bool],
        written: Callable[[CorruptLog, float], bool],
        *,
        election_timeout_ms: float,
        append_bytes_max: int,
    ) -> None:
        """`mended(damage, timeout_s)` waits until a read of damaged entries is right; False: it is not, so far.

        `written` waits until they are mended on the disk, from where a snapshot is sent.
        """
        self._node_lock = node_lock
        self._storage = storage
        self._own = own
        self._contact = contact
        self._addresses = addresses
        self._mended = mended
        self._written = written
        self._damaged_for: dict[int, tuple[str, int]] = {}  # by member: the damaged place that was not sent last
        self._snapshot_failures: dict[int, str] = {}  # by member: why it refused the snapshot, as last logged
        self._timeout_s = election_timeout_ms / 1000
        self._append_bytes_max = append_bytes_max
        self._pieces: dict[int, Pieces] = {}  # by member; up to MEMBERS_MAX, and those that have left
        # By member; recorded by its thread for appends.  For a moment a member that moves has two threads, and a count
        # may be lost.
        self.append_durations: dict[int, Histogram] = {}
        self._answered_s: dict[int, float] = {}  # by member: when it answered last
        self._urgent: PeerLoop[Message] = PeerLoop("raft-urgent", self, self._timeout_s)
        # By (member, kind); under the engine's lock.
        self._queues: dict[tuple[int, str], PeerQueue[Message] | Lane[Message]] = {}
        self._unreachable: set[int] = set()
        self._stopped: dict[int, str] = {}  # by member: why it ended, as last logged
        self._closed = False

    def send_locked(self, configuration: Configuration, message: Message) -> bool:
        """Queue `message` for its target; return whether `ring` has to be called once the lock is free.

        A removed member is told of its removal through its old queue.
        """
        kind = _kind(message)
        member, queue = configuration.members.get(message.target), self._queues.get((message.target, kind))
        if member is not None and (queue is None or queue.url != member.url):
            queue = self._replace_locked(queue, member, kind)
        if queue is not None:
            queue.send(message)
        return kind == URGENT

    def ring(self) -> None:
        """Have urgent messages sent."""
        self._urgent.ring()

    def _replace_locked(
        self, old: PeerQueue[Message] | Lane[Message] | None, member: Member, kind: str
    ) -> PeerQueue[Message] | Lane[Message] | None:
        if old is not None:
            old.close()
        if self._closed:
            return None
        name = f"raft-{kind}-{member.id}"
        queue: PeerQueue[Message] | Lane[Message]
        try:
            if kind == URGENT:
                queue = self._urgent.lane(member.url, name, self._addresses, member.id)
            else:
                queue = PeerQueue(member.url, name, self.deliver, self._addresses, member.id)
        except (RuntimeError, ValueError, OSError) as error:  # no thread can be started, or not a URL: lost
            self._log_unreachable(member.id, member.url, error)
            return None
        self._queues[member.id, kind] = queue
        return queue

    def drop_idle(self) -> None:
        """Close the queues of removed members that have been told."""

        def take_idle(node: Node) -> list[PeerQueue[Message] | Lane[Message]]:
            in_use = {*node.configuration.members, *node.progress}
            return [self._queues.pop(key) for key in list(self._queues) if key[0] not in in_use]

        for queue in self._node_lock.read(take_idle):
            queue.close()

    def close(self) -> None:
        """Close all queues."""
        self._closed = True
        for queue in self._node_lock.read(lambda node: list(self._queues.values())):
            queue.close()
        self._urgent.close()

    # In the loop's thread

    def body(self, message: Message) -> bytes:
        """Return the body of the call that sends `message`, which is a request."""
        assert isinstance(message, AppendEntries | RequestVote | TimeoutNow)
        return encode(self._own.sender(), message)

    def answered(self, lane: Lane[Message], message: Message, body: bytes) -> bool:
        """Take the answer to a heartbeat or to a request for a vote; return False if it is not accepted."""
        try:
            self._take_reply(message.target, *decode_answer(body, lane.connection.proved))
        except (InvalidMessage, RefusedPeer):
            return False
        return True

    def failed(self, lane: Lane[Message], message: Message, error: Exception) -> None:
        """Log that no answer came."""
        if not self._answered_lately(message.target):
            self._log_unreachable(message.target, lane.url, error)

    # In a queue's thread

    def deliver(self, queue: PeerQueue[Message], message: Message) -> None:
        """Make the call that sends `message`, and handle its outcome."""
        assert isinstance(message, AppendEntries | InstallSnapshot | RequestVote | TimeoutNow)
        try:
            if isinstance(message, InstallSnapshot):
                self._send_snapshot_file(queue, message)
                self._call(queue, message, SNAPSHOT_TIMEOUT_S)
                self._snapshot_failures.pop(message.target, None)
            elif _kind(message) != APPENDS:
                self._call(queue, message, self._timeout_s)
            elif (loaded := self._load(message)) is not None:
                began_s = time.monotonic()
                self._call(queue, loaded, self._timeout_s * APPEND_TIMEOUTS)
                self._durations_of(message.target).record(self._answered_s[message.target] - began_s)
        except CorruptLog as damage:
            is_mended = self._handle_damage(message, damage)
            self._put_off(queue, message, 0.0 if is_mended else DAMAGE_PAUSE_S)
        except (DiskFailed, StartRefused) as broken:  # this member's log cannot be read, or is not what was written
            self._node_lock.on_broken(broken)
        except (OSError, LookupError, InvalidMessage, RefusedPeer) as error:
            if isinstance(error, OlderCopy):
                self._refuse(queue, error)
            elif isinstance(error, RefusedPeer) and error.code == "diverged":
                self._log_stopped(message.target, str(error))
            elif isinstance(message, InstallSnapshot):
                self._log_snapshot_failed(message.target, str(error))
            elif _kind(message) != URGENT or not self._answered_lately(message.target):
                self._log_unreachable(message.target, queue.url, error)
            if _kind(message) != URGENT:
                self._put_off(queue, message, SNAPSHOT_PAUSE_S if _kind(message) == SNAPSHOTS else 0.0)

    def _refuse(self, queue: PeerQueue[Message], error: OlderCopy) -> None:
        """Report the older copy here, and to the member itself, because perhaps no other member will."""
        self._own.older_copies.note(error)
        told = RecordedBoot(self._own.sender().id, error.member, error.boot)
        with suppress(OSError, InvalidMessage):  # the member's next answer is refused as well
            queue.connection.call(encode(self._own.sender(), told), self._timeout_s)

    def _put_off(self, queue: PeerQueue[Message], message: Request, pause_s: float) -> None:
        """Let the Node send the message again, after a pause."""
        queue.pause(pause_s)
        self._node_lock.act(lambda node: node.unreachable(message.target))

    def _log_snapshot_failed(self, member: int, why: str) -> None:
        """Log each reason once, because the transfer is retried each second."""
        if self._snapshot_failures.get(member) != why and not self._closed:
            self._snapshot_failures[member] = why
            logger.warning("could not send the snapshot to member %d: %s", member, why)

    def _load(self, message: Request) -> Request | None:
        """Read entries that left memory, and cut to a piece; None if this member has stopped leading.

        A leader never changes its own log (Raft §5.3), so if it leads after the reading, the entries are the right
        ones. Entries that are cut off follow once the piece is acknowledged (progress.py, `accepted`).
        """
        if not isinstance(message, AppendEntries):
            return message
        piece_bytes = self._pieces_of(message.target).bytes_max
        if message.entries is None:
            bytes_max = min(self._append_bytes_max, piece_bytes)
            records = self._storage.reader.read(message.prev_log_index + 1, message.last_index, bytes_max)
            entries = tuple(entry_of_verified(record) for record in records)
            return replace(message, entries=entries) if self._leads(message.term) else None
        left = piece_bytes
        for place, entry in enumerate(message.entries):
            left -= len(entry.record)
            if left < 0 and place:
                return replace(message, entries=message.entries[:place])
        return message

    def _handle_damage(self, message: Request, damage: CorruptLog) -> bool:
        """Wait until damaged entries are mended, for they are not sent; return False if they are not.

        Entries that no member in contact has here may be sent by a voter that leads: leadership is handed to one.
        """
        wait = self._written if isinstance(message, InstallSnapshot) else self._mended
        if wait(damage, MEND_S):
            return True
        is_known = self._damaged_for.get(message.target) == (damage.file, damage.offset)
        self._damaged_for[message.target] = damage.file, damage.offset
        # What no entry describes lies in the base, which is made anew here and then sent: this takes a moment.
        if is_known != bool(damage.indexes):
            logger.error(
                "cannot send damaged entries to member %d; handing leadership to another member", message.target
            )

            def hand_over(node: Node) -> None:
                """Hand leadership to the best successor other than the member that lacks the entries."""
                with suppress(ChangeRefused, NotLeader):
                    node.transfer_leadership(node.best_successor(but=message.target))

            self._node_lock.act(hand_over)
        return False

    def _durations_of(self, member: int) -> Histogram:
        return self.append_durations.get(member) or self.append_durations.setdefault(member, Histogram())

    def _pieces_of(self, member: int) -> Pieces:
        return self._pieces.setdefault(member, Pieces(self._append_bytes_max))

    def _leads(self, term: int) -> bool:
        return self._node_lock.read(lambda node: node.role is Role.LEADER and node.current_term == term)

    def _send_snapshot_file(self, queue: PeerQueue[Message], message: InstallSnapshot) -> None:
        """Send the snapshot's data; stop when another member leads."""

        def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
            if queue.is_closed or not self._leads(message.term):
                raise ConnectionAbortedError("this member does not lead any more")
            self._still_sending(message.target)
            reply = self._ask(queue, chunk, SNAPSHOT_TIMEOUT_S)[1]
            if not isinstance(reply, SnapshotChunkReply):
                raise InvalidMessage(f"member {message.target} sent an answer to another call")
            return reply

        logger.info("member %d is sent the snapshot of index %d", message.target, message.snapshot.index)
        pieces = self._pieces_of(message.target)
        send_snapshot(self._storage, message.source, message.target, message.snapshot, ask, lambda: pieces.bytes_max)

    def _ask(self, queue: PeerQueue[Message], call: Call, timeout_s: float) -> tuple[Sender, Answer]:
        encoded = encode(self._own.sender(), call)
        if isinstance(call, RequestVote | TimeoutNow) or (isinstance(call, AppendEntries) and call.heartbeat):
            status, body = queue.connection.call(encoded, timeout_s)
        else:
            status, body = self._send_piece(queue, call.target, encoded, timeout_s)
        if status != 200:
            raise self._own.refused(call.target, body)
        return decode_answer(body, queue.connection.proved)

    def _send_piece(self, queue: PeerQueue[Message], member: int, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Make a call whose size fits the line; while it is under way the Node does not take it for lost."""
        connection, pieces = queue.connection, self._pieces_of(member)
        try:
            answer = connection.call(
                body,
                timeout_s,
                poll_s=self._timeout_s / POLL_SHARE,
                on_wait=lambda: self._still_sending(member),
            )
        except TimeoutError:
            pieces.slow(len(body))
            raise
        if connection.line_is_slow:
            pieces.slow(len(body))
        else:
            pieces.quick(len(body))
        return answer

    def _still_sending(self, member: int) -> None:
        self._node_lock.act(lambda node: node.sending(member))

    def _call(self, queue: PeerQueue[Message], message: Request, timeout_s: float) -> None:
        self._take_reply(message.target, *self._ask(queue, message, timeout_s))

    def _take_reply(self, member: int, sender: Sender, reply: Answer) -> None:
        if not isinstance(reply, Reply) or reply.source != member:
            raise InvalidMessage(f"member {member} sent an answer to another call")

        def action(node: Node) -> None:
            check_sender(sender, self._own.sender().cluster_id, node.committed_configuration, node.configuration)
            node.identified(member, sender.incarnation, sender.advertise, sender.level, max(sender.boots, default=0))
            node.step(reply)
            if node.role is Role.LEADER and reply.term == node.current_term:
                self._contact.answered(member)

        self._node_lock.act(action)
        self._own.heard(sender)
        self._answered_s[member] = time.monotonic()
        if member in self._unreachable:
            self._unreachable.discard(member)
            logger.info("member %d is reachable", member)

    def _answered_lately(self, member: int) -> bool:
        """Return whether the member answered lately: then only a slow line delayed a heartbeat."""
        silent_s = time.monotonic() - self._answered_s.get(member, float("-inf"))
        return silent_s < UNREACHABLE_TIMEOUTS * self._timeout_s

    def _log_stopped(self, member: int, why: str) -> None:
        """Log once why a member ended: nobody can ask it afterwards."""
        if self._stopped.get(member) != why:
            self._stopped[member] = why
            logger.error("member %d has stopped: %s", member, why)

    def _log_unreachable(self, member: int, url: str, error: Exception) -> None:
        if member not in self._unreachable and not self._closed:
            self._unreachable.add(member)
            logger.warning("member %d at %s is not reachable: %s", member, url, error)


def _kind(message: Message) -> str:
    """Return the kind of queue for a message."""
    if isinstance(message, InstallSnapshot):
        return SNAPSHOTS
    return APPENDS if isinstance(message, AppendEntries) and not message.heartbeat else URGENT


def send_snapshot(
    storage: Storage,
    source: int,
    target: int,
    snapshot: SnapshotMeta,
    ask: Callable[[SnapshotChunk], SnapshotChunkReply],
    piece_bytes: Callable[[], int] = lambda: CHUNK_BYTES,
) -> None:
    """Send the file of `snapshot` to `target`; `ask` makes one call, and raises to end the transfer.

    `piece_bytes()` is how much fits the line in one call, at this moment.

    Raises LookupError: another compaction has replaced that snapshot meanwhile; CorruptLog: it is damaged here.
    """
    file = storage.snapshot
    if file is None or file.meta != snapshot:
        raise LookupError(f"the snapshot of index {snapshot.index} is not the newest any more")

    def sent(offset: int, lines: bytes) -> int:
        return ask(SnapshotChunk(source, target, snapshot.index, snapshot.term, file.bytes, offset, lines)).offset

    offset, stalled = sent(0, b""), 0
    while offset < file.bytes:
        wanted = sent(offset, storage.read_snapshot(file, offset, min(CHUNK_BYTES, piece_bytes())))
        stalled = 0 if wanted > offset else stalled + 1
        if stalled > STALLED_MAX:
            raise ConnectionError(f"member {target} does not accept the snapshot of index {snapshot.index}")
        offset = wanted
