"""Channels: the connections that want the events of the same rooms, and the messages that they get.

Rules
- A message is built once for all of them, and encoded once for each kind of client.  Clients that only listen get posts
  without a Cursor, and nothing else; subscribers get every event with its Cursor.
- A batch's messages are joined once for a channel.  A post looks at the channels of its room and at no others.
- An event that concerns only some of a channel's connections goes to these, joined with the rest of its batch in the
  order of the log.  Nobody gets a later event before an earlier one, for a client resumes behind the last one it got.
- Whoever follows a room follows it under its next name too.
- Connections are kept in the order they came in (a dict is an ordered set): what the kernel holds of them lies side by
  side then, and sending to 5,000 took a tenth less than in the order of a set.
- Only the hub's selector thread enters.
"""

import json
from collections.abc import Callable, Sequence

from chat.realtime.connection import Connection, Encode, SendToAll, send_to_many
from chat.realtime.registry import Registry
from chat.realtime.websocket_connection import websocket_message
from chat.services.cursors import cursor
from chat.state.events import Event, PostChanged, PostEvent, Reach, Reacted, ReactedSince, RoomDeleted, RoomEvent
from chat.state.post_json import reactions_json


def plain_payload(event: PostEvent) -> bytes:
    """The message for clients that only listen, as JSON."""
    return b'{"RoomName":%b,"Post":%b}' % (_json(event.room), event.post)


def event_payload(place: bytes, event: Event) -> bytes:
    """The message for subscribers, as JSON; `place` is its Cursor."""
    match event:
        case PostEvent():
            return b'{"RoomName":%b,"Post":%b,"Cursor":"%b"}' % (_json(event.room), event.post, place)
        case PostChanged():
            members = b'"PostChanged","RoomName":%b,"Post":%b' % (_json(event.room), event.post)
        case Reacted():
            members = b'"Reacted","RoomName":%b,"Id":%d,%b' % (_json(event.room), event.id, _reaction(event))
        case ReactedSince():
            reactions = reactions_json(event.reactions)
            members = b'"Reacted","RoomName":%b,"Id":%d,"Reactions":%b' % (_json(event.room), event.id, reactions)
        case RoomEvent():
            members = b'"RoomChanged","RoomName":%b,"Room":%b' % (_json(event.room), event.details)
        case RoomDeleted():
            members = b'"RoomDeleted","RoomName":%b' % _json(event.room)
    return b'{"Event":{"Type":%b},"Cursor":"%b"}' % (members, place)


def _reaction(event: Reacted) -> bytes:
    on = b"true" if event.on else b"false"
    return b'"Emoji":%b,"User":%b,"On":%b,"Count":%d' % (_json(event.emoji), _json(event.user), on, event.count)


def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


class Channel:
    """The connections of one kind that want the events of the same rooms (None: all), and the messages due to them."""

    __slots__ = ("connections", "encode", "messages", "names", "reaches", "rooms")

    def __init__(self, rooms: frozenset[str] | None, encode: Encode) -> None:
        self.rooms = rooms
        self.encode = encode
        self.names = set(rooms or ())  # of these rooms, and the names that they have by now
        self.connections: dict[Connection, None] = {}
        self.messages: list[bytes] = []  # encoded
        self.reaches: list[Reach] = []  # of each message

    def add(self, message: bytes, reach: Reach) -> None:
        """Append a message."""
        self.messages.append(message)
        self.reaches.append(reach)

    def flush(self, registry: Registry, send: SendToAll) -> None:
        """Send the batch's messages to every connection that they concern."""
        for connections, count, messages in registry.shares(self.connections, self.reaches, self.messages):
            if connections:
                next(iter(connections)).counts.frames_out += count * len(connections)  # all are of one kind
            send_to_many(connections, messages, send)
        self.messages.clear()
        self.reaches.clear()


class Channels:
    """The channels of a node; `history` gives the beginning of every Cursor (chat/services/cursors.py)."""

    def __init__(self, history: Callable[[], str], registry: Registry, send: SendToAll) -> None:
        self._history = history
        self._registry = registry
        self._send = send
        self._listeners = Channel(None, websocket_message)
        self._channels: dict[tuple[frozenset[str] | None, Encode], Channel] = {}
        self._channel_of: dict[Connection, Channel] = {}
        self._by_room: dict[str, set[Channel]] = {}
        self._of_all_rooms: set[Channel] = set()

    def listen(self, connection: Connection) -> None:
        """Send this connection the posts of every room, without a Cursor."""
        self._listeners.connections[connection] = None

    def subscribe(self, connection: Connection, rooms: frozenset[str] | None) -> None:
        """Send this connection the events of these rooms (None: all), each with its Cursor."""
        key = rooms, connection.encode
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(*key)
            if rooms is None:
                self._of_all_rooms.add(channel)
            for room in rooms or ():
                self._by_room.setdefault(room, set()).add(channel)
        channel.connections[connection] = None
        self._channel_of[connection] = channel

    def is_subscribed(self, connection: Connection) -> bool:
        """Return True if the connection gets messages with a Cursor."""
        return connection in self._channel_of

    def unsubscribe(self, connection: Connection) -> None:
        """Send this connection nothing more."""
        self._listeners.connections.pop(connection, None)
        channel = self._channel_of.pop(connection, None)
        if channel is None:
            return
        del channel.connections[connection]
        if not channel.connections:
            self._dissolve(channel)

    def publish(self, events: Sequence[Event]) -> None:
        """Send a batch's messages, in the order of the log."""
        if self._listeners.connections:
            for event in events:
                if isinstance(event, PostEvent):
                    self._listeners.add(websocket_message(plain_payload(event), b""), event.reach)
            if self._listeners.messages:
                self._listeners.flush(self._registry, self._send)
        if self._channels:
            self._publish_to_channels(events)

    def _publish_to_channels(self, events: Sequence[Event]) -> None:
        history = self._history()
        concerned: set[Channel] = set()
        for event in events:
            if isinstance(event, RoomEvent):
                self._follow(event)
            channels = self._channels_of_room(event.room)
            if not channels:
                continue
            concerned |= channels
            place = cursor(history, event.index)
            _add(channels, event_payload(place, event), place, event.reach)
            if isinstance(event, RoomEvent) and event.lost is not None:
                place = cursor(history, event.lost.index)
                _add(channels, event_payload(place, event.lost), place, event.lost.reach)
        for channel in concerned:
            channel.flush(self._registry, self._send)

    def broadcast(self, room: str | None, payloads: Sequence[bytes], reach: Reach) -> None:
        """Send messages that are no events of the log to everyone who follows the room, None: to all subscribers."""
        channels = {*self._channels.values()} if room is None else self._channels_of_room(room)
        for payload in payloads:
            _add(channels, payload, b"", reach)
        for channel in channels:
            channel.flush(self._registry, self._send)

    def _channels_of_room(self, room: str) -> set[Channel]:
        return self._by_room.get(room, set()) | self._of_all_rooms

    def _follow(self, event: RoomEvent) -> None:
        """Have the channels of a room's earlier names follow its present one."""
        for name in event.names:
            for channel in [*self._by_room.get(name, ())]:
                channel.names.add(event.room)
                self._by_room.setdefault(event.room, set()).add(channel)

    def _dissolve(self, channel: Channel) -> None:
        del self._channels[channel.rooms, channel.encode]
        self._of_all_rooms.discard(channel)
        for room in channel.names:
            channels = self._by_room[room]
            channels.discard(channel)
            if not channels:
                del self._by_room[room]


def _add(channels: set[Channel], payload: bytes, place: bytes, reach: Reach) -> None:
    """Append a message to these channels, encoded once for each kind."""
    encoded: dict[Encode, bytes] = {}
    for channel in channels:
        message = encoded.get(channel.encode)
        if message is None:
            message = encoded[channel.encode] = channel.encode(payload, place)
        channel.add(message, reach)
