"""Presence and typing: which users are online and who types where.  Never kept, and never in the log.

Rules
- A node sends the others its whole report: the users of its connections, and who types where.  The newest report
  counts, whatever was lost before.  The report of a silent node is dropped after `NODE_PRESENCE_S`.
- A user is online while one of their connections is open on any node, and for `LINGER_S` after: a page that is
  reloaded, or whose node is gone, was not away.  Typing lasts `TYPING_S` from the last notice of it, and is sent anew
  each `AGAIN_S` at most, however often a client says so.
- Everything is bounded by bytes, and sent at most each `TURN_S`, typing on this node at once.  When the bound on names
  is reached, further users are not shown: a crowd of hundreds has no faces.
- Typing is sent to those who see the room.  Presence is sent to everybody but guests.
- A report of another node is checked as a client's message is.
- Only the hub's selector thread enters, except `heard`.
"""

import json
import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, count
from math import inf
from typing import Final, NamedTuple

from chat.errors import Problem, invalid
from chat.realtime.connection import Connection, Encode
from chat.realtime.hub import Hub
from chat.replica import Replica
from chat.server.networks import network_to_evict
from chat.services import validation
from chat.state.events import EVERYBODY, Reach
from chat.state.room_directory import is_private_name
from chat.state.room_views import reach_of
from chat.state.tables import StateReader, Tables

logger = logging.getLogger(__name__)

_FRAME_BYTES: Final = 4  # around a message, at most
TURN_S: Final = 0.25
LINGER_S: Final = 3.0
TYPING_S: Final = 6.0
AGAIN_S: Final = 3.0
NODE_PRESENCE_S: Final = 30.0  # the others' come each ten seconds at the least
NAMES_BYTES_MAX: Final = 16 * 1024  # of who is told of, some 400 users; four times a second they are 64 KiB/s a node
TYPING_MAX: Final = 100  # users and rooms at a time, of one node; then whoever has the most of them gives way
TYPING_OF_ONE_MAX: Final = 4  # rooms at a time, of one websocket: nobody types in more within six seconds

Place = tuple[str, str]  # a room, and who types there


class Typing(NamedTuple):
    """A user who types in a room; `number` changes each time that it is sent anew."""

    connection: Connection
    owner: str  # the user, or without sign-in the network: a name costs nothing there
    number: int
    told_at: float
    until: float


class NodePresence(NamedTuple):
    """The report of one node."""

    online: tuple[str, ...]
    typing: dict[Place, int]


class Presence:
    """The presence of one node.  It listens to the hub and to the replica's notices."""

    def __init__(self, hub: Hub, replica: Replica, state: StateReader) -> None:
        self._hub = hub
        self._replica = replica
        self._state = state
        self._user_of: dict[Connection, str] = {}
        self._connections: dict[str, int] = {}  # how many, by user; in the order they came
        self._lingering: dict[str, float] = {}  # users without one, and until when
        self._typing: dict[Place, Typing] = {}
        self._others: dict[int, tuple[NodePresence, float]] = {}  # by member, and when it was heard
        self._told: dict[str, bytes] = {}  # the users that subscribers know to be there, and the message that says so
        self._greetings: dict[Encode, bytes] = {}  # all of these messages, encoded
        self._read_by_wsproto = b""  # to the other nodes
        self._numbers = count(1)
        self._turned_at = -inf
        self._turn_at = inf  # the next one
        self._lock = threading.Lock()  # guards the reports that are not looked at yet
        self._heard: dict[int, NodePresence] = {}
        hub.listeners.append(self)

    # What websockets do

    def add(self, connection: Connection, user: str) -> None:
        """Count the connection for this user from now on."""
        if self._user_of.get(connection) == user:
            return
        self.forget(connection)
        self._user_of[connection] = user
        self._connections[user] = self._connections.get(user, 0) + 1
        self._lingering.pop(user, None)
        self._turn_within(0.0)

    def forget(self, connection: Connection) -> None:
        """Count the connection for nobody any more."""
        user = self._user_of.pop(connection, None)
        if user is None:
            return
        self._connections[user] -= 1
        if not self._connections[user]:
            del self._connections[user]
            self._lingering[user] = self._hub.now() + LINGER_S
            self._turn_within(LINGER_S)

    def greet(self, connection: Connection) -> None:
        """Send a new subscriber the users who are online."""
        if self._hub.registry.is_told(connection, EVERYBODY):
            greeting = self._greetings.get(connection.encode)
            if greeting is None:
                greeting = b"".join([connection.encode(payload, b"") for payload in self._told.values()])
                self._greetings[connection.encode] = greeting
            connection.counts.frames_out += len(self._told)
            connection.queue(greeting)

    def type(self, connection: Connection, room: str, user: str, owner: str) -> None:
        """Send that this user types in the room, unless they may not see it.  `owner`: as Typing has it."""
        now, place = self._hub.now(), (room, user)
        self._forget_what_is_over(now)
        known = self._typing.get(place)
        if known is not None and now - known.told_at < AGAIN_S:
            self._typing[place] = known._replace(until=now + TYPING_S)
            return
        reach = self._reach(room)
        if reach is None or not self._hub.registry.is_told(connection, reach):
            return
        if known is None and not self._has_space_for(connection, owner):
            return
        self._typing[place] = Typing(connection, owner, next(self._numbers), now, now + TYPING_S)
        self._tell_typing(place, reach)
        self._turn_within(0.0)

    def _has_space_for(self, connection: Connection, owner: str) -> bool:
        """Return True if there is a place; the oldest of the owner with most places is dropped for it."""
        if sum(typing.connection is connection for typing in self._typing.values()) >= TYPING_OF_ONE_MAX:
            return False
        if len(self._typing) < TYPING_MAX:
            return True
        largest = network_to_evict(Counter(typing.owner for typing in self._typing.values()), owner)
        if largest is None:
            return False
        del self._typing[next(place for place, typing in self._typing.items() if typing.owner == largest)]
        return True

    def _reach(self, room: str) -> Reach | None:
        """The reach of events in a room of this name; None: no such room may be named."""

        def ask(tables: Tables) -> Reach | None:
            there = tables.rooms.existing(room)
            if there is None:
                return None if is_private_name(room) else EVERYBODY
            return reach_of(there)

        return self._state.ask(ask)

    def _tell_typing(self, place: Place, reach: Reach) -> None:
        room, user = place
        self._hub.broadcast(room, [_json({"Typing": {"RoomName": room, "User": user}})], reach)

    # What other nodes tell

    def heard(self, member: int, body: bytes) -> None:
        """Take the report of another node.  Any thread; never blocks."""
        try:
            node_presence = read_node_presence(body)
        except Problem as problem:
            logger.warning("member %d sent a malformed presence report: %s", member, problem.detail)
            return
        with self._lock:
            is_first = not self._heard
            self._heard[member] = node_presence
        if is_first:
            self._hub.call(self._take_heard)

    def _take_heard(self) -> None:
        with self._lock:
            heard, self._heard = self._heard, {}
        for member, node_presence in heard.items():
            before = self._others[member][0].typing if member in self._others else {}
            self._others[member] = node_presence, self._hub.now()
            for place, number in node_presence.typing.items():
                if before.get(place) != number and (reach := self._reach(place[0])) is not None:
                    self._tell_typing(place, reach)
        self._turn_within(0.0)

    # Turns

    def _turn_within(self, delay_s: float) -> None:
        """Plan a turn after `delay_s`, or as soon as one may be."""
        now = self._hub.now()
        at = max(now + delay_s, self._turned_at + TURN_S)
        if at < self._turn_at:
            self._turn_at = at
            self._hub.call_later(at - now, partial(self._turn, at))

    def _turn(self, at: float) -> None:
        if at != self._turn_at:
            return  # an earlier one was asked for since
        now = self._turned_at = self._hub.now()
        self._turn_at = inf
        self._forget_what_is_over(now)
        self._tell_who_is_there()
        body = self._own_presence()
        if body != self._read_by_wsproto:
            self._read_by_wsproto = body
            self._replica.tell(body)
        ends = [
            *self._lingering.values(),
            *(typing.until for typing in self._typing.values()),
            *(at + NODE_PRESENCE_S for _, at in self._others.values()),
        ]
        if ends:
            self._turn_within(min(ends) - now)

    def _forget_what_is_over(self, now: float) -> None:
        self._lingering = {user: until for user, until in self._lingering.items() if until > now}
        self._typing = {place: typing for place, typing in self._typing.items() if typing.until > now}
        self._others = {member: (seen, at) for member, (seen, at) in self._others.items() if at + NODE_PRESENCE_S > now}

    def _tell_who_is_there(self) -> None:
        """Send subscribers the changes.  Users who are shown already go before new ones."""
        there = dict.fromkeys(chain(self._own(), *(seen.online for seen, _ in self._others.values())))
        gone = [_presence(user, False) for user in self._told if user not in there]
        self._told = {user: frame for user, frame in self._told.items() if user in there}
        come = [(user, _presence(user, True)) for user in there if user not in self._told]
        size = sum(len(payload) + _FRAME_BYTES for payload in self._told.values())
        come = [*_fitting(come, NAMES_BYTES_MAX - size)]
        self._told.update(come)
        payloads = gone + [payload for _, payload in come]
        if payloads:
            self._greetings.clear()
            self._hub.broadcast(None, payloads, EVERYBODY)

    def _own(self) -> Iterator[str]:
        return chain(self._connections, self._lingering)

    def _own_presence(self) -> bytes:
        names = ((user, _presence(user, True)) for user in self._own())
        online = [user for user, _ in _fitting(names, NAMES_BYTES_MAX)]
        typing = [[*place, typing.number] for place, typing in self._typing.items()]
        return _json({"Online": online, "Typing": typing})


def _fitting(users: Iterable[tuple[str, bytes]], bytes_max: int) -> Iterator[tuple[str, bytes]]:
    """The first of these users whose messages take so many bytes as frames."""
    for user, payload in users:
        bytes_max -= len(payload) + _FRAME_BYTES
        if bytes_max < 0:
            return
        yield user, payload


def _presence(user: str, online: bool) -> bytes:
    return _json({"Presence": {"User": user, "Online": online}})


def read_node_presence(body: bytes) -> NodePresence:
    """Decode the report of a node.  Raises Problem."""
    fields = validation.json_object(body)
    online, typing = fields.get("Online"), fields.get("Typing")
    if not isinstance(online, list) or len(online) > ONLINE_MAX:
        raise invalid("Online", f"must be a list of at most {ONLINE_MAX} names")
    if not isinstance(typing, list) or len(typing) > TYPING_MAX:
        raise invalid("Typing", f"must be a list of at most {TYPING_MAX}")
    return NodePresence(tuple(validation.name("Online", name) for name in online), dict(map(_typing, typing)))


def _typing(value: object) -> tuple[Place, int]:
    match value:
        case [room, user, int(number)]:
            return (validation.name("Typing", room), validation.name("Typing", user)), number
    raise invalid("Typing", "must be a room, a user and a number")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


ONLINE_MAX: Final = NAMES_BYTES_MAX // (len(_presence("", True)) + 2)  # of one node: no more have room
