"""Gossip: notices from one member's application to all others, outside of the log (presence, typing).

A notice has all that its member has to say.  Only the newest counts, so it replaces one that waits.  A lost notice
is sent again after CALM_S at most, then after each POLL_S.  Everything is sent every REFRESH_S, for members that came
or came back.  Nothing is stored, and a member does not know which notices the others have received.

Notices take no part in the protocol: no role, term or election depends on one, and a notice is no sign that a leader
lives.
"""

import threading
import time
from collections.abc import Callable

from raft.core.configuration import Member
from raft.core.node import Node
from raft.engine.clocks import steady_s
from raft.engine.node_lock import NodeLock, configurations
from raft.engine.own_identity import OwnIdentity
from raft.engine.proposals import now
from raft.errors import InvalidMessage, OlderCopy, RefusedPeer
from raft.rpc.calls import Notice, NoticeReply
from raft.rpc.codec import NOTICE_BYTES_MAX, decode_answer, encode
from raft.rpc.peer_auth import check_sender
from raft.rpc.peer_client import Addresses, PeerQueue

POLL_S = 0.2  # sooner than an election, so that a new leader knows the others' notices
CALM_S = 1.0  # once all members have confirmed the notice: for members that come or move
REFRESH_S = 10.0
ASK_S = 0.5  # how long an operator waits for all members' answers, and how often members are asked for operators
ANSWER_TIMEOUT_S = 1.0


class Notices:
    """Sends and receives notices."""

    def __init__(
        self,
        node_lock: NodeLock,
        own: OwnIdentity,
        on_notice: Callable[[int, bytes], None],
        on_clock: Callable[[int, int, float], None],
        addresses: Addresses,
        own_report: Callable[[], str] = str,
        on_report: Callable[[int, str], None] = lambda member, report: None,
    ) -> None:
        """`on_notice(member, body)` is called with another member's notice.

        `on_clock(member, time, when it was asked)` gets the others' clocks, `on_report(member, report)` what they say
        of themselves; `own_report` makes what this member says.  None of them may block.
        """
        self._id = own.id
        self._node_lock = node_lock
        self._own = own
        self._on_notice = on_notice
        self._on_clock = on_clock
        self._addresses = addresses
        self._own_report = own_report
        self._on_report = on_report
        self._body = b""
        self._lock = threading.Lock()  # around the queues
        self._queues: dict[int, PeerQueue[Notice]] = {}  # by member
        self._told: dict[int, tuple[bytes, float]] = {}  # by member: the last notice that it confirmed, and when
        self._asked_s = 0.0  # when `ask_all` last made all members due
        self._answered = threading.Condition()  # a member has answered
        self._closed = False

    def tell(self, body: bytes) -> None:
        """Send `body` to all others; never blocks for them.  Raises ValueError if the body is too large."""
        if len(body) > NOTICE_BYTES_MAX:
            raise ValueError(f"a notice of {len(body)} bytes; {NOTICE_BYTES_MAX} are allowed")
        self._body = body
        self._send()

    def take(self, notice: Notice) -> NoticeReply:
        """Pass on another member's notice; an empty body, before its first notice, is not passed on."""
        if notice.body:
            self._on_notice(notice.source, notice.body)
        return NoticeReply(now(), self._own_report())

    def ask_all(self) -> None:
        """Have all members answer anew, and wait for that, for ASK_S at most: one that is away does not answer.

        Members are asked once in ASK_S, however many operators want to know.
        """
        now_s = time.monotonic()
        if now_s - self._asked_s >= ASK_S:
            self._asked_s = now_s
        asked_s = self._asked_s
        self._send()
        others = self._node_lock.read(self._to_tell_locked)
        with self._answered:
            self._answered.wait_for(
                lambda: all(self._told.get(id, (b"", 0.0))[1] >= asked_s for id in others), asked_s + ASK_S - now_s
            )

    def run(self, stopping: threading.Event) -> None:
        """Run the thread."""
        while not stopping.wait(self._send()):
            pass

    def close(self) -> None:
        """Close all queues."""
        with self._lock:
            self._closed = True
            for queue in self._queues.values():
                queue.close()

    def _send(self) -> float:
        """Send the notice to all members that are due; return the seconds until it has to be looked at again."""
        members = self._node_lock.read(self._to_tell_locked)
        with self._lock:
            for id in [id for id, queue in self._queues.items() if id not in members or members[id].url != queue.url]:
                self._queues.pop(id).close()
            now_s, pause_s = time.monotonic(), CALM_S
            for id, member in members.items():
                body, told_s = self._told.get(id, (None, 0.0))
                refresh_s = told_s + REFRESH_S - now_s
                if body is self._body and refresh_s > 0 and told_s >= self._asked_s:
                    pause_s = min(pause_s, refresh_s)
                    continue
                pause_s = min(pause_s, POLL_S)
                if (queue := self._queue_locked(member)) is not None:
                    queue.send(Notice(self._id, id, self._body))
        return pause_s

    def _to_tell_locked(self, node: Node) -> dict[int, Member]:
        members = node.configuration.members.items()
        return {id: member for id, member in members if id != self._id}

    def _queue_locked(self, member: Member) -> PeerQueue[Notice] | None:
        queue = self._queues.get(member.id)
        if queue is None and not self._closed:
            try:
                queue = self._queues[member.id] = PeerQueue(
                    member.url, f"raft-notice-{member.id}", self._deliver, self._addresses, member.id
                )
            except (RuntimeError, ValueError):  # no thread can be started now
                return None
        return queue

    # In a queue's thread

    def _deliver(self, queue: PeerQueue[Notice], notice: Notice) -> None:
        asked_s = steady_s()
        try:
            status, body = queue.connection.call(encode(self._own.sender(), notice), ANSWER_TIMEOUT_S)
            if status != 200:
                raise self._own.refused(notice.target, body)  # a member that only follows makes no other calls
            sender, reply = decode_answer(body, queue.connection.proved)
            check_sender(sender, self._own.sender().cluster_id, *self._node_lock.read(configurations))
        except OlderCopy as error:
            self._own.older_copies.note(error)
            return
        except (OSError, InvalidMessage, RefusedPeer):
            return  # the next look sends it again
        if sender.id == notice.target and isinstance(reply, NoticeReply):
            self._on_clock(sender.id, reply.time, asked_s)
            self._on_report(sender.id, reply.report)
            with self._answered:
                self._told[sender.id] = notice.body, time.monotonic()
                self._answered.notify_all()
