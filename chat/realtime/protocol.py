"""What one client of the websocket says, and what it is told.

Rules
- A message that makes no sense is answered with an Error frame; the socket stays open.
- Who is to bring a ticket first gets nothing else done before.
- Posts of one socket to one room are proposed one after the other, so a failover cannot reorder them; where one may
  not have been made, those behind it are refused, for the client to send them again in order.
"""

import threading
from collections import deque
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from chat.commands import Actor, Post
from chat.errors import Problem, invalid, problem_of, problem_of_refusal, unavailable
from chat.realtime import replies
from chat.realtime.actions import Actions
from chat.realtime.authentication import Realtime
from chat.realtime.cursors import Place, parse_cursor
from chat.realtime.frames import CloseCode
from chat.realtime.subscription import Subscription
from chat.realtime.websocket_connection import WebSocketConnection
from chat.server.networks import network
from chat.services import validation
from chat.services.posts import check_post, propose, with_mentions
from chat.services.room_names import told_looks
from chat.state.permissions import LOGIN_NEEDED
from chat.state.results import Posted, Refusal
from raft.errors import RaftError

STRANGER_BYTES_MAX = 4 * 1024  # of a message before it is known who sends it: a ticket and a few names of rooms
ROOMS_MAX = 1_000  # of one subscription; whoever wants more asks for all

_BEHIND_A_FAILURE = unavailable("the post before this one failed; nothing was proposed")


class ClientProtocol:
    """One client's; a handler for its websocket."""

    def __init__(
        self,
        realtime: Realtime,
        environ: Mapping[str, Any],  # of the request that it began with
        ended: threading.Event | None,  # set when it is over, where a server waits for that
        connection: WebSocketConnection,
    ) -> None:
        self._realtime = realtime
        self._connection = connection
        self._ended = ended
        self._environ = environ
        self._client: _Client | None = None  # it is not known yet who this is
        connection.limit(STRANGER_BYTES_MAX, "before signing in")
        realtime.authenticate(connection, environ, self._authenticated)

    def _authenticated(self, actor: Actor) -> None:
        """It is known who this is."""
        us, connection = self._realtime, self._connection
        connection.limit(us.hub.limits.message_bytes)
        self._client = _Client(
            actor,
            Subscription(us.hub, connection, us.replica, us.state, us.nodes, actor),
            PostQueue(us, connection, actor),
            Actions(us, connection, actor, self._environ),
        )

    def _known(self) -> "_Client":
        if self._client is None:
            raise problem_of_refusal(LOGIN_NEEDED)
        return self._client

    def received(self, text: str) -> None:
        """One message; none of them disconnects, but for a ticket that is none."""
        try:
            self._act(validation.members(validation.json_object(text.encode())))
        except Problem as problem:
            self._connection.send(replies.error(problem, None))

    def closed(self) -> None:
        """The websocket is over; what is proposed is proposed."""
        if self._ended is not None:
            self._ended.set()

    def _act(self, fields: Mapping[str, object]) -> None:
        match fields.get("action"):
            case "subscribe":
                self._subscribe(fields)
            case "post":
                self._known().post_queue.post(fields)
            case "typing":
                self._type(fields)
            case "edit" | "delete" | "react" | "read" | "history" | "ticket" as action:
                self._known().actions.act(action, fields)
            case "ping":
                self._connection.send(b'{"Pong":{}}')
            case _:
                raise Problem(HTTPStatus.BAD_REQUEST, "unknown_action", "Action: not one that this node knows")

    def _type(self, fields: Mapping[str, object]) -> None:
        room = validation.name("RoomName", fields.get("roomname"))
        actor = self._known().actor
        user = actor.user if actor.by else validation.name("User", fields.get("user"))
        if user:  # the operator has no name
            owner = user if actor.by else network(self._environ.get("REMOTE_ADDR", ""))
            self._realtime.presence.type(self._connection, room, user, owner)

    def _subscribe(self, fields: Mapping[str, object]) -> None:
        if not self._realtime.replica.cluster_id:
            raise unavailable("the cluster is not created yet")
        rooms = _rooms(fields.get("rooms"))
        if fields.get("cluster") is True:
            self._realtime.majority.ask(self._connection)
        user = fields.get("user")
        user = None if user is None else validation.name("User", user)
        text = fields.get("cursor")
        place = None if text is None else parse_cursor(text)
        if self._client is not None:
            self._follow(self._client, rooms, place, user)
            return
        ticket = fields.get("ticket")
        if ticket is None:
            raise problem_of_refusal(LOGIN_NEEDED)
        if not isinstance(ticket, str):
            raise invalid("Ticket", "must be a string")
        self._realtime.redeem(self._connection, self._environ, ticket, partial(self._redeemed, rooms, place))

    def _follow(
        self, client: "_Client", rooms: frozenset[str] | None, place: Place | None, user: str | None = None
    ) -> None:
        """Subscribe; without a login, as `user`, if anybody."""
        if user := client.actor.user if client.actor.by else user:
            self._realtime.presence.add(self._connection, user)
        client.subscription.ask(rooms, place)

    def _redeemed(self, rooms: frozenset[str] | None, place: Place | None, outcome: Actor | Problem) -> None:
        if isinstance(outcome, Problem):
            self._connection.send(replies.error(outcome, None))
            if not replies.is_temporary(outcome):
                self._connection.close(CloseCode.POLICY_VIOLATION, outcome.code)
            return
        self._authenticated(outcome)
        self._follow(self._known(), rooms, place)


def _rooms(value: object) -> frozenset[str] | None:
    if value == "*":
        return None
    if not isinstance(value, list) or len(value) > ROOMS_MAX:
        raise invalid("Rooms", f'must be "*" or a list of at most {ROOMS_MAX:,} names')
    return frozenset(validation.name("Rooms", name) for name in value)


class PostQueue:
    """The posts of one socket.  The first of each room's queue is proposed, the others wait for its outcome."""

    def __init__(self, realtime: Realtime, connection: WebSocketConnection, actor: Actor) -> None:
        self._hub = realtime.hub
        self._replica = realtime.replica
        self._state = realtime.state
        self._authenticator = realtime.authenticator
        self._connection = connection
        self._actor = actor
        self._queues: dict[str, deque[dict[str, object]]] = {}  # as they were sent

    def post(self, fields: Mapping[str, object]) -> None:
        """Post, when it is its turn, and tell the outcome.  Raises Problem where it is not even a post."""
        room, post = fields.get("roomname"), fields.get("post")
        if not isinstance(post, dict):
            raise invalid("Post", "must be an object")
        if not isinstance(room, str):
            self._connection.send(replies.error(invalid("RoomName", "must be a string"), post))
            return
        self._connection.hold()
        queue = self._queues.setdefault(room, deque())
        queue.append(post)
        if len(queue) == 1:
            self._propose(room, queue)

    def _propose(self, room: str, queue: deque[dict[str, object]]) -> None:
        while queue:
            try:
                post = with_mentions(check_post(room, queue[0], self._actor), self._state)
                self._authenticator.admit_post(self._actor)
            except Problem as problem:
                self._refuse(problem, queue)
            else:
                settled = self._settled(post)
                if isinstance(settled, Problem):
                    self._confirm(room, post)
                else:
                    propose(self._replica, settled, partial(self._done, room, settled))
                return
        del self._queues[room]

    def _confirm(self, room: str, post: Post) -> None:
        def done(error: RaftError | None) -> None:
            self._hub.call(partial(self._settle, room, post, error))

        self._replica.read(done)

    def _settle(self, room: str, post: Post, error: RaftError | None) -> None:
        """The post was refused here; now the state holds all that was acknowledged."""
        settled = problem_of(error) if error is not None else self._settled(post)
        if isinstance(settled, Problem):
            self._answered(room, post, settled)
        else:
            propose(self._replica, settled, partial(self._done, room, settled))

    def _settled(self, post: Post) -> Post | Problem:
        """What is to be proposed; or why this is not posted, as far as the state here knows."""
        refusal = self._state.dry_run(post)
        if isinstance(refusal, Refusal):
            return problem_of_refusal(refusal)
        return told_looks(post, self._actor, self._state)

    def _done(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        """In a thread of the engine's."""
        self._hub.call(partial(self._answered, room, post, outcome))

    def _answered(self, room: str, post: Post, outcome: Posted | Problem) -> None:
        queue = self._queues[room]
        if isinstance(outcome, Problem):
            self._refuse(outcome, queue)
        else:
            queue.popleft()
            self._tell(replies.posted(post, outcome))
        self._propose(room, queue)

    def _refuse(self, problem: Problem, queue: deque[dict[str, object]]) -> None:
        """The first one was not made, or may not have been."""
        self._tell(replies.error(problem, queue.popleft()))
        while queue and replies.is_temporary(problem):
            self._tell(replies.error(_BEHIND_A_FAILURE, queue.popleft()))

    def _tell(self, message: bytes) -> None:
        self._connection.send(message)
        self._connection.release()


class _Client(NamedTuple):
    """Of one that is known who it is."""

    actor: Actor
    subscription: Subscription
    post_queue: PostQueue
    actions: Actions
