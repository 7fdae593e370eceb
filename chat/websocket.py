"""`/ws`: the handshake, and what the messages of a client that speaks mean.  The hub does the rest.

Rules
- A request that is no upgrade, or comes from a page of another origin, is answered in HTTP before the socket is taken.
- No extension is agreed on, above all not per-message deflate: the frames that all sockets share are not deflated.
- A message that makes no sense is answered with an Error frame; the socket stays open.
- Posts of one socket to one room are proposed one after the other, so a failover cannot reorder them; where one may
  not have been made, those behind it are refused, for the client to send them again in order.
"""

import json
import socket
import threading
from base64 import b64decode
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

from wsproto.utilities import generate_accept_token

from chat import validation
from chat.commands import Post
from chat.hub import Hub
from chat.link import Link
from chat.origins import foreign, is_ours
from chat.posting import check_post, propose
from chat.problems import CONTENT_TYPE, Problem, invalid, unavailable
from chat.replica import Replica
from chat.state.machine import ChatState
from chat.state.results import Posted
from chat.subscription import Subscription, parse_cursor

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)
ROOMS_MAX = 1_000  # of one subscription; whoever wants more asks for all

_BEHIND_A_FAILURE = unavailable("the post before this one failed; nothing was proposed")
_TEMPORARY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


def make_websocket_app(
    hub: Hub, replica: Replica, state: ChatState, nodes: Callable[[], list[str]]
) -> "WSGIApplication":
    """The WSGI application for `/ws`; `nodes` gives the URLs that clients reach the members under."""

    def websocket_app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            check_upgrade(environ, nodes)
            if hub.full:
                raise unavailable("too many websockets are open, or this node is shutting down")
        except Problem as problem:
            start_response(f"{problem.status} {problem.title}", [("Content-Type", CONTENT_TYPE), *problem.headers])
            return [problem.to_json()]
        converse = partial(Conversation, hub, replica, state, nodes)
        if "raft_chat.detach" in environ:
            _hand_over(hub, environ["raft_chat.detach"](), environ, partial(converse, None))
            return []
        # A server that cannot let go of its connection: its thread waits, and the error keeps Werkzeug from writing an
        # answer on what is no longer HTTP.
        ended = threading.Event()
        if _hand_over(hub, environ["werkzeug.socket"].dup(), environ, partial(converse, ended)):
            ended.wait()
        raise ConnectionAbortedError("the websocket is over")

    return websocket_app


def _hand_over(
    hub: Hub, sock: socket.socket, environ: "WSGIEnvironment", converse: Callable[[Link], "Conversation"]
) -> bool:
    """Make a websocket of the connection, and it the hub's; False where that is over."""
    greeting = switching_protocols(environ["HTTP_SEC_WEBSOCKET_KEY"])
    return hub.attach(sock, greeting, environ.get("raft_chat.read_ahead", b""), converse)


def check_upgrade(environ: "WSGIEnvironment", nodes: Callable[[], list[str]]) -> None:
    """RFC 6455 §4.2.1, and the origin.  Raises Problem."""
    upgrade = environ.get("HTTP_UPGRADE", "").lower()
    if environ["REQUEST_METHOD"] != "GET" or "websocket" not in _tokens(upgrade):
        raise _upgrade_required("this is a websocket: ask with GET and Upgrade: websocket")
    if "upgrade" not in _tokens(environ.get("HTTP_CONNECTION", "").lower()):
        raise invalid("Connection", "must be Upgrade")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise _upgrade_required("Sec-WebSocket-Version: must be 13")
    if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise invalid("Sec-WebSocket-Key", "must be 16 bytes in base64")
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and not is_ours(origin, environ.get("HTTP_HOST", ""), nodes()):
        raise foreign()
    if "raft_chat.detach" not in environ and "werkzeug.socket" not in environ:
        raise Problem(HTTPStatus.NOT_IMPLEMENTED, "no_websockets", "this server does not hand out its sockets")


def _upgrade_required(detail: str) -> Problem:
    headers = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
    return Problem(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", detail, headers)


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def switching_protocols(key: str) -> bytes:
    """The 101 (RFC 6455 §4.2.2): behind it the socket is a websocket.

    The request was checked (`check_upgrade`), and nothing of it matters but the key.  simple-websocket's own handshake
    takes an HTTP parser, a selector and an event for each socket, 140 µs instead of 5, and thousands come at once.
    """
    return _SWITCHING % generate_accept_token(key.encode("ascii"))


class Conversation:
    """What one client says, and what it is told."""

    def __init__(
        self,
        hub: Hub,
        replica: Replica,
        state: ChatState,
        nodes: Callable[[], list[str]],
        ended: threading.Event | None,  # set when it is over, where a server waits for that
        link: Link,
    ) -> None:
        self._link = link
        self._replica = replica
        self._subscription = Subscription(hub, link, replica, state, nodes)
        self._posting = Posting(hub, link, replica)
        self._ended = ended

    def received(self, text: str) -> None:
        """One message; none of them disconnects."""
        try:
            self._act(validation.members(validation.json_object(text.encode())))
        except Problem as problem:
            self._link.send(_error(problem, None))

    def closed(self) -> None:
        """The link is over; what is proposed is proposed."""
        if self._ended is not None:
            self._ended.set()

    def _act(self, fields: Mapping[str, object]) -> None:
        match fields.get("action"):
            case "subscribe":
                self._subscribe(fields)
            case "post":
                self._posting.post(fields)
            case "ping":
                self._link.send(b'{"Pong":{}}')
            case _:
                raise Problem(HTTPStatus.BAD_REQUEST, "unknown_action", "Action: not one that this node knows")

    def _subscribe(self, fields: Mapping[str, object]) -> None:
        cluster_id = self._replica.cluster_id
        if not cluster_id:
            raise unavailable("the cluster is not created yet")
        rooms = _rooms(fields.get("rooms"))
        text = fields.get("cursor")
        self._subscription.ask(rooms, None if text is None else parse_cursor(text, cluster_id))


def _rooms(value: object) -> frozenset[str] | None:
    if value == "*":
        return None
    if not isinstance(value, list) or len(value) > ROOMS_MAX:
        raise invalid("Rooms", f'must be "*" or a list of at most {ROOMS_MAX:,} names')
    return frozenset(validation.name("Rooms", name) for name in value)


class Posting:
    """The posts of one socket.  The first of each room's queue is proposed, the others wait for its outcome."""

    def __init__(self, hub: Hub, link: Link, replica: Replica) -> None:
        self._hub = hub
        self._link = link
        self._replica = replica
        self._queues: dict[str, deque[dict[str, object]]] = {}  # as they were sent

    def post(self, fields: Mapping[str, object]) -> None:
        """Post, when it is its turn, and tell the outcome.  Raises Problem where it is not even a post."""
        room, post = fields.get("roomname"), fields.get("post")
        if not isinstance(post, dict):
            raise invalid("Post", "must be an object")
        if not isinstance(room, str):
            self._link.send(_error(invalid("RoomName", "must be a string"), post))
            return
        self._link.hold()
        queue = self._queues.setdefault(room, deque())
        queue.append(post)
        if len(queue) == 1:
            self._propose(room, queue)

    def _propose(self, room: str, queue: deque[dict[str, object]]) -> None:
        while queue:
            try:
                post = check_post(room, queue[0])
            except Problem as problem:
                self._tell(_error(problem, queue.popleft()))
            else:
                propose(self._replica, post, partial(self._done, room, post))
                return
        del self._queues[room]

    def _done(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        """In a thread of the engine's."""
        self._hub.call(partial(self._answered, room, post, outcome))

    def _answered(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        queue = self._queues[room]
        sent = queue.popleft()
        if isinstance(outcome, Problem):
            self._tell(_error(outcome, sent))
            if outcome.status in _TEMPORARY:
                while queue:
                    self._tell(_error(_BEHIND_A_FAILURE, queue.popleft()))
        else:
            self._tell(_ack(post, outcome))
        self._propose(room, queue)

    def _tell(self, message: bytes) -> None:
        self._link.send(message)
        self._link.release()


def _ack(post: Post, posted: Posted) -> bytes:
    """The post's own ClientId: what was sent, or what the server made where nothing was."""
    client_id, room = encode_basestring(post.client_id).encode(), encode_basestring(posted.room).encode()
    return b'{"Ack":{"ClientId":%b,"RoomName":%b,"Post":%b}}' % (client_id, room, posted.json)


def _error(problem: Problem, post: Mapping[str, object] | None) -> bytes:
    sent = {name.lower(): value for name, value in (post or {}).items()}.get("clientid")
    client_id = sent if isinstance(sent, str) else problem.members.get("ClientId")
    error = {
        "ClientId": client_id,
        "code": problem.code,
        "detail": problem.detail,
        "Temporary": problem.status in _TEMPORARY,
    }
    return json.dumps({"Error": error}).encode()
