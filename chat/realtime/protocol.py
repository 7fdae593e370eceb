"""The messages of one websocket's client: each is an Action, and gets an answer.

Rules
- A message that makes no sense is answered with an Error frame.  The socket stays open.
- A client that has to bring a ticket can do nothing else before.
"""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from chat.commands import Actor
from chat.errors import Problem, invalid, problem_of_refusal, unavailable
from chat.realtime import replies
from chat.realtime.actions import Actions
from chat.realtime.authentication import Realtime
from chat.realtime.frames import CloseCode
from chat.realtime.post_queue import PostQueue
from chat.realtime.subscription import Subscription
from chat.realtime.websocket_connection import WebSocketConnection
from chat.server.networks import network
from chat.services import validation
from chat.services.cursors import Place, parse_cursor
from chat.state.permissions import LOGIN_NEEDED

STRANGER_BYTES_MAX = 4 * 1024  # of a message before authentication: a ticket and a few names of rooms


class ClientProtocol:
    """The handler of a websocket: acts on the client's messages."""

    def __init__(
        self,
        realtime: Realtime,
        environ: Mapping[str, Any],  # of the opening request
        connection: WebSocketConnection,
    ) -> None:
        self._realtime = realtime
        self._connection = connection
        self._environ = environ
        self._client: _Client | None = None  # None: not authenticated yet
        connection.limit(STRANGER_BYTES_MAX, "before signing in")
        realtime.authenticate(connection, environ, self._authenticated)

    def _authenticated(self, actor: Actor) -> None:
        """Begin to act for this user."""
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
        """Act on one message.  None of them disconnects, except a wrong ticket."""
        try:
            self._act(validation.members(validation.json_object(text.encode())))
        except Problem as problem:
            self._connection.send(replies.error(problem, None))

    def closed(self) -> None:
        """Do nothing: what was proposed stays proposed."""

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
                raise Problem(HTTPStatus.BAD_REQUEST, "unknown_action", "Action: this node does not know this action")

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
        """Subscribe; in open mode as `user`, if the client names one."""
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
    if not isinstance(value, list) or len(value) > validation.FOLLOWED_ROOMS_MAX:
        raise invalid("Rooms", f'must be "*" or a list of at most {validation.FOLLOWED_ROOMS_MAX:,} names')
    return frozenset(validation.name("Rooms", name) for name in value)


class _Client(NamedTuple):
    """The parts of an authenticated client."""

    actor: Actor
    subscription: Subscription
    post_queue: PostQueue
    actions: Actions
