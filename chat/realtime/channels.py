"""Who gets what of the events that are published, and the frames they get.

Rules
- A frame is built once however many get it, and only where somebody does: plain for those that only listen, with its
  Cursor for subscribers.  Who only listens gets posts and nothing else.
- Links that want the same are one group: a batch's frames are joined once for all of them, and a post looks at the
  groups of its room and at no other.
- What does not concern everybody goes to whom it does, joined with the rest of its batch in the order of the log:
  nobody gets a later event before an earlier one, for a client resumes behind the last one it got.
- Who follows a room follows it under its next name too.
- Links are kept in the order they came in (a dict is an ordered set): what the kernel holds of them lies side by side
  then, and sending to 5,000 took a tenth less than in the order of a set.
- Only the hub's selector thread enters.
"""

import json
from collections.abc import Callable, Sequence

from chat.realtime.cursors import cursor
from chat.realtime.frames import text_frame
from chat.realtime.registry import Registry
from chat.realtime.websocket_connection import SendToAll, WebSocketConnection, send_to_many
from chat.state.events import Event, PostChanged, PostEvent, Reach, Reacted, ReactedSince, RoomDeleted, RoomEvent
from chat.state.post_json import reactions_json


def plain_frame(event: PostEvent) -> bytes:
    """What a client that only listens gets."""
    return text_frame(b'{"RoomName":%b,"Post":%b}' % (_json(event.room), event.post))


def cursor_frame(history: str, event: Event) -> bytes:
    """What a subscriber gets: the same, or what happened to a room, and how to resume after it."""
    place = cursor(history, event.index)
    match event:
        case PostEvent():
            return text_frame(b'{"RoomName":%b,"Post":%b,"Cursor":"%b"}' % (_json(event.room), event.post, place))
        case PostChanged():
            told = b'"PostChanged","RoomName":%b,"Post":%b' % (_json(event.room), event.post)
        case Reacted():
            told = b'"Reacted","RoomName":%b,"Id":%d,%b' % (_json(event.room), event.id, _reaction(event))
        case ReactedSince():
            reactions = reactions_json(event.reactions)
            told = b'"Reacted","RoomName":%b,"Id":%d,"Reactions":%b' % (_json(event.room), event.id, reactions)
        case RoomEvent():
            told = b'"RoomChanged","RoomName":%b,"Room":%b' % (_json(event.room), event.details)
        case RoomDeleted():
            told = b'"RoomDeleted","RoomName":%b' % _json(event.room)
    return text_frame(b'{"Event":{"Type":%b},"Cursor":"%b"}' % (told, place))


def _reaction(event: Reacted) -> bytes:
    on = b"true" if event.on else b"false"
    return b'"Emoji":%b,"User":%b,"On":%b,"Count":%d' % (_json(event.emoji), _json(event.user), on, event.count)


def _json(text: str) -> bytes:
    return json.dumps(text, ensure_ascii=False).encode()


class Channel:
    """The websockets that want the events of the same rooms, None for all, and what is to go to them."""

    __slots__ = ("connections", "frames", "names", "reaches", "rooms")

    def __init__(self, rooms: frozenset[str] | None = None) -> None:
        self.rooms = rooms
        self.names = set(rooms or ())  # of these rooms, and what they are called by now
        self.connections: dict[WebSocketConnection, None] = {}
        self.frames: list[bytes] = []
        self.reaches: list[Reach] = []  # of each frame

    def add(self, frame: bytes, reach: Reach) -> None:
        """It comes behind what there is."""
        self.frames.append(frame)
        self.reaches.append(reach)

    def flush(self, registry: Registry, send: SendToAll) -> None:
        """Send the batch's frames to every websocket that they concern."""
        for connections, frames in registry.shares(self.connections, self.reaches, self.frames):
            send_to_many(connections, frames, send)
        self.frames.clear()
        self.reaches.clear()


class Channels:
    """The websockets that get what is published; a subscriber has `history` asked (chat/realtime/cursors.py)."""

    def __init__(self, history: Callable[[], str], registry: Registry, send: SendToAll) -> None:
        self._history = history
        self._registry = registry
        self._send = send
        self._listeners = Channel()
        self._channels: dict[frozenset[str] | None, Channel] = {}
        self._channel_of: dict[WebSocketConnection, Channel] = {}
        self._by_room: dict[str, set[Channel]] = {}  # not the group of all rooms

    def listen(self, connection: WebSocketConnection) -> None:
        """It gets the plain frames of every room."""
        self._listeners.connections[connection] = None

    def subscribe(self, connection: WebSocketConnection, rooms: frozenset[str] | None) -> None:
        """It gets the frames of these rooms, None for all, each with its Cursor."""
        channel = self._channels.get(rooms)
        if channel is None:
            channel = self._channels[rooms] = Channel(rooms)
            for room in rooms or ():
                self._by_room.setdefault(room, set()).add(channel)
        channel.connections[connection] = None
        self._channel_of[connection] = channel

    def is_subscribed(self, connection: WebSocketConnection) -> bool:
        """Whether it gets frames with a Cursor."""
        return connection in self._channel_of

    def unsubscribe(self, connection: WebSocketConnection) -> None:
        """It gets nothing more."""
        self._listeners.connections.pop(connection, None)
        channel = self._channel_of.pop(connection, None)
        if channel is None:
            return
        del channel.connections[connection]
        if not channel.connections:
            self._dissolve(channel)

    def publish(self, events: Sequence[Event]) -> None:
        """Send a batch's frames, in the order of the log."""
        if self._listeners.connections:
            for event in events:
                if isinstance(event, PostEvent):
                    self._listeners.add(plain_frame(event), event.reach)
            if self._listeners.frames:
                self._listeners.flush(self._registry, self._send)
        if self._channels:
            self._publish_to_channels(events)

    def _publish_to_channels(self, events: Sequence[Event]) -> None:
        history = self._history()
        concerned: set[Channel] = set()
        for event in events:
            if isinstance(event, RoomEvent):
                self._follow(event)
            channels = self._followers(event.room)
            if channels:
                frame = cursor_frame(history, event)
                concerned |= channels
            for channel in channels:
                channel.add(frame, event.reach)
                if isinstance(event, RoomEvent) and event.lost is not None:
                    channel.add(cursor_frame(history, event.lost), event.lost.reach)
        for channel in concerned:
            channel.flush(self._registry, self._send)

    def broadcast(self, room: str | None, frame: bytes, reach: Reach) -> None:
        """Send what is no event of the log, and has no Cursor, to who follows the room, None: to all subscribers."""
        for channel in [*self._channels.values()] if room is None else self._followers(room):
            channel.add(frame, reach)
            channel.flush(self._registry, self._send)

    def _followers(self, room: str) -> set[Channel]:
        channels = self._by_room.get(room, set())
        of_all_rooms = self._channels.get(None)
        return channels | {of_all_rooms} if of_all_rooms else channels

    def _follow(self, event: RoomEvent) -> None:
        """Have those who follow one of the room's names follow its present one."""
        for name in event.names:
            for channel in [*self._by_room.get(name, ())]:
                channel.names.add(event.room)
                self._by_room.setdefault(event.room, set()).add(channel)

    def _dissolve(self, channel: Channel) -> None:
        del self._channels[channel.rooms]
        for room in channel.names:
            channels = self._by_room[room]
            channels.discard(channel)
            if not channels:
                del self._by_room[room]
