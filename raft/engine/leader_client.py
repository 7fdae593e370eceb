"""Calls to the leader, over one connection at a time."""

from collections.abc import Callable
from http import HTTPStatus

from raft.engine.node_lock import NodeLock, configurations
from raft.errors import InvalidMessage, RefusedPeer
from raft.rpc.calls import Sender
from raft.rpc.codec import Answer, Call, decode_answer, encode
from raft.rpc.peer_auth import check_sender, read_refusal
from raft.rpc.peer_client import Addresses, PeerConnection

CALL_TIMEOUTS = 4  # election timeouts to wait for an answer: a leader that hangs is replaced by then
# The statuses of a port that has not handed the call to the engine.
REFUSED_UNREAD = frozenset(
    (
        HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.GONE, HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.SERVICE_UNAVAILABLE,
    )
)  # fmt: skip


class CallRefused(ConnectionError):
    """The leader's port refused the call before it looked at the proposals: nothing was done."""


class LeaderClient:
    """Calls to the current leader, over one connection at a time.  For one thread."""

    def __init__(
        self, node_lock: NodeLock, sender: Callable[[], Sender], timeout_s: float, addresses: Addresses | None = None
    ) -> None:
        self._node_lock = node_lock
        self._addresses = addresses
        self._sender = sender
        self._timeout_s = timeout_s
        self._connection: PeerConnection | None = None

    def open(self, leader_id: int) -> None:
        """Connect to member `leader_id`.  Raises OSError: nothing was sent."""
        member = self._node_lock.read(lambda node: node.configuration.members.get(leader_id))
        if member is None:
            raise ConnectionError(f"member {leader_id} is not in the configuration")
        if self._connection is None or self._connection.url != member.url:
            self.close()
            try:
                self._connection = PeerConnection(member.url, self._addresses, leader_id)
            except ValueError as error:
                raise ConnectionError(str(error)) from None
        self._connection.open(self._timeout_s)

    def call(self, call: Call) -> Answer:
        """Make a call.  Raises CallRefused: nothing was done; any other OSError: the outcome is not known."""
        assert self._connection is not None
        try:
            status, body = self._connection.call(encode(self._sender(), call), CALL_TIMEOUTS * self._timeout_s)
            if status in REFUSED_UNREAD:
                raise CallRefused(f"member {call.target} refused: {read_refusal(body)[1]}")
            if status != HTTPStatus.OK:
                raise ConnectionError(f"member {call.target} refused: {read_refusal(body)[1]}")
            sender, answer = decode_answer(body, self._connection.proved)
            check_sender(sender, self._sender().cluster_id, *self._node_lock.read(configurations))
            return answer
        except (InvalidMessage, RefusedPeer) as error:
            raise ConnectionError(str(error)) from None

    def leave(self) -> None:
        """Close a connection to any member but the leader; a call under way in another thread fails."""
        leads = self._node_lock.read(lambda node: node.configuration.members.get(node.leader_id))
        if self._connection is not None and (leads is None or leads.url != self._connection.url):
            self._connection.close()

    def close(self) -> None:
        """Close the connection; a call under way in another thread fails."""
        if self._connection is not None:
            self._connection.close()
