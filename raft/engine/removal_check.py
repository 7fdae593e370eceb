"""Removal check: a node that hears no leader asks its peers whether it was removed.

A member that was down while it was removed may never be told: the leader that removed it says so for a few election
timeouts only, the next leader does not know its URL, and a learner never campaigns.  So a member without a leader asks,
once a second.  Hello takes no part in the protocol and raises no term, so it disturbs nobody, even if there is just no
leader.  The answers also say where the others look for this member, which may have been moved while it was down.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus

from raft.core.configuration import Member
from raft.core.node import Node, Role
from raft.engine.node_lock import NodeLock
from raft.errors import InvalidMessage
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.codec import decode_answer, encode
from raft.rpc.peer_auth import read_refusal
from raft.rpc.peer_client import Addresses, PeerConnection

ASK_EVERY_S = 1.0
ANSWER_TIMEOUT_S = 1.0
SILENT_TIMEOUTS = 4  # election timeouts: long enough for an election, if one can be won


class RemovalCheck:
    """Asks the other members once a second while no leader is heard.

    `sender()` describes this member.  `on_heard(sender)` is called with each answer's sender, `on_removed(why)` when
    another member says that this one was removed.
    """

    def __init__(
        self,
        id: int,
        node_lock: NodeLock,
        sender: Callable[[], Sender],
        on_heard: Callable[[Sender], None],
        on_removed: Callable[[str], None],
        addresses: Addresses | None = None,
        *,
        timeout_s: float,
    ) -> None:
        """`timeout_s`: the election timeout."""
        self._id = id
        self._node_lock = node_lock
        self._sender = sender
        self._on_heard = on_heard
        self._on_removed = on_removed
        self._addresses = addresses
        self.listed_url = ""  # the URL where another member looks for this one; "" while a leader is heard
        self._silent_ms = SILENT_TIMEOUTS * timeout_s * 1000

    def run(self, stopping: threading.Event) -> None:
        """Run the thread."""
        while not stopping.wait(ASK_EVERY_S):
            for member in self._node_lock.read(self._to_ask_locked):
                if stopping.is_set() or self._was_removed(member):
                    return

    def _to_ask_locked(self, node: Node) -> list[Member]:
        if node.role is Role.LEADER or node.silent_ms < self._silent_ms:
            self.listed_url = ""
            return []
        return [member for id, member in node.configuration.members.items() if id != self._id]

    def _was_removed(self, asked: Member) -> bool:
        try:
            connection = PeerConnection(asked.url, self._addresses, asked.id)
        except ValueError:
            return False  # not a URL that can be called
        try:
            status, body = connection.call(encode(self._sender(), Hello(self._id, asked.id)), ANSWER_TIMEOUT_S)
            if status == HTTPStatus.GONE:  # with certificates a member that was removed is told no more than that
                return self._is_told_of_removal(asked.id, body)
            sender, reply = decode_answer(body, connection.proved)
        except (OSError, InvalidMessage):
            return False  # another member may know it, or this member in a second
        finally:
            connection.close()
        self._on_heard(sender)
        same_cluster = bool(sender.cluster_id) and sender.cluster_id == self._sender().cluster_id
        if status != 200 or not same_cluster or not isinstance(reply, HelloReply):
            return False
        self.listed_url = reply.listed.get(self._id, "")
        if self._id not in reply.removed:
            return False
        self._on_removed(f"it was removed from the cluster while it was down, as member {sender.id} says")
        return True

    def _is_told_of_removal(self, member: int, refusal: bytes) -> bool:
        code, _, cluster_id = read_refusal(refusal)
        if code != "removed" or not cluster_id or cluster_id != self._sender().cluster_id:
            return False
        self._on_removed(f"it was removed from the cluster while it was down, as member {member} says")
        return True
