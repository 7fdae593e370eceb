"""What one client of the websocket says, and what it is told.

Rules
- A message that makes no sense is answered with an Error frame; the socket stays open.
- Who is to bring a ticket first gets nothing else done before.
- Posts of one socket to one room are proposed one after the other, so a failover cannot reorder them; where one may
  not have been made, those behind it are refused, for the client to send them again in order.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from json.encoder import encode_basestring
from typing import Any

from wsproto.frame_protocol import CloseReason

from chat import validation
from chat.commands import Actor, Post
from chat.hub import Hub
from chat.link import Link
from chat.marks import check_mark
from chat.posting import check_post, propose, with_mentions
from chat.problems import Problem, invalid, unavailable
from chat.reception import Reception
from chat.refusals import problem_of_refusal
from chat.replica import Replica
from chat.state.access import LOGIN_NEEDED
from chat.state.machine import ChatState
from chat.state.results import Posted
from chat.subscription import Subscription, parse_cursor

ROOMS_MAX = 1_000  # of one subscription; whoever wants more asks for all

_BEHIND_A_FAILURE = unavailable("the post before this one failed; nothing was proposed")
_TEMPORARY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}


class Conversation:
    """One client's; a handler for its link."""

    def __init__(
        self,
        reception: Reception,
        environ: Mapping[str, Any],  # of the request that it began with
        ended: threading.Event | None,  # set when it is over, where a server waits for that
        link: Link,
    ) -> None:
        self._reception = reception
        self._link = link
        self._ended = ended
        self._subscription: Subscription | None = None
        self._posting: Posting | None = None
        self._actor = Actor()
        reception.receive(link, environ, self._enter)

    def _enter(self, actor: Actor) -> None:
        """It is known who this is."""
        hub, replica, state, link = self._reception.hub, self._reception.replica, self._reception.state, self._link
        self._subscription = Subscription(hub, link, replica, state, self._reception.nodes, actor)
        self._posting = Posting(hub, link, replica, state, actor)
        self._actor = actor

    def received(self, text: str) -> None:
        """One message; none of them disconnects, but for a ticket that is none."""
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
                if self._posting is None:
                    raise problem_of_refusal(LOGIN_NEEDED)
                self._posting.post(fields)
            case "read":
                mark = check_mark(self._reception.state, self._actor, fields.get("roomname"), fields.get("id"))
                self._reception.marks.note(mark)
            case "typing":
                self._type(fields)
            case "ping":
                self._link.send(b'{"Pong":{}}')
            case _:
                raise Problem(HTTPStatus.BAD_REQUEST, "unknown_action", "Action: not one that this node knows")

    def _type(self, fields: Mapping[str, object]) -> None:
        room = validation.name("RoomName", fields.get("roomname"))
        if self._subscription is None:
            raise problem_of_refusal(LOGIN_NEEDED)
        user = self._actor.user if self._actor.by else validation.name("User", fields.get("user"))
        if user:  # the operator has no name
            self._reception.presence.type(self._link, room, user)

    def _subscribe(self, fields: Mapping[str, object]) -> None:
        cluster_id = self._reception.replica.cluster_id
        if not cluster_id:
            raise unavailable("the cluster is not created yet")
        rooms = _rooms(fields.get("rooms"))
        user = fields.get("user")
        user = None if user is None else validation.name("User", user)
        text = fields.get("cursor")
        index = None if text is None else parse_cursor(text, cluster_id)
        if self._subscription is not None:
            self._follow(rooms, index, user)
            return
        ticket = fields.get("ticket")
        if ticket is None:
            raise problem_of_refusal(LOGIN_NEEDED)
        if not isinstance(ticket, str):
            raise invalid("Ticket", "must be a string")
        self._reception.redeem(self._link, ticket, partial(self._redeemed, rooms, index))

    def _follow(self, rooms: frozenset[str] | None, index: int | None, user: str | None = None) -> None:
        """Subscribe; without a login, as `user`, if anybody."""
        assert self._subscription is not None
        if user := self._actor.user if self._actor.by else user:
            self._reception.presence.enter(self._link, user)
        self._subscription.ask(rooms, index)

    def _redeemed(self, rooms: frozenset[str] | None, index: int | None, outcome: Actor | Problem) -> None:
        if isinstance(outcome, Problem):
            self._link.send(_error(outcome, None))
            if outcome.status not in _TEMPORARY:
                self._link.close(CloseReason.POLICY_VIOLATION, outcome.code)
            return
        self._enter(outcome)
        self._follow(rooms, index)


def _rooms(value: object) -> frozenset[str] | None:
    if value == "*":
        return None
    if not isinstance(value, list) or len(value) > ROOMS_MAX:
        raise invalid("Rooms", f'must be "*" or a list of at most {ROOMS_MAX:,} names')
    return frozenset(validation.name("Rooms", name) for name in value)


class Posting:
    """The posts of one socket.  The first of each room's queue is proposed, the others wait for its outcome."""

    def __init__(self, hub: Hub, link: Link, replica: Replica, state: ChatState, actor: Actor) -> None:
        self._hub = hub
        self._link = link
        self._replica = replica
        self._state = state
        self._actor = actor
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
                post = with_mentions(check_post(room, queue[0], self._actor), self._state)
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
