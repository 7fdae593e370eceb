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
from chat.realtime.registry import Attendance
from chat.realtime.websocket_connection import Link, SendToAll, deliver
from chat.state.events import Event, PostChanged, PostEvent, Reach, Reacted, ReactedSince, RoomDeleted, RoomEvent
from chat.state.room import reactions_json


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


class _Group:
    """The links that want the events of the same rooms, None for all, and what is to go to them."""

    __slots__ = ("frames", "links", "names", "reaches", "rooms")

    def __init__(self, rooms: frozenset[str] | None = None) -> None:
        self.rooms = rooms
        self.names = set(rooms or ())  # of these rooms, and what they are called by now
        self.links: dict[Link, None] = {}
        self.frames: list[bytes] = []
        self.reaches: list[Reach] = []  # of each frame

    def add(self, frame: bytes, reach: Reach) -> None:
        """It comes behind what there is."""
        self.frames.append(frame)
        self.reaches.append(reach)

    def flush(self, attendance: Attendance, send: SendToAll) -> None:
        """Send the batch's frames to every link that they concern."""
        for links, frames in attendance.shares(self.links, self.reaches, self.frames):
            deliver(links, frames, send)
        self.frames.clear()
        self.reaches.clear()


class Audience:
    """The links that get what is published; a subscriber has `history` asked (chat/realtime/cursors.py)."""

    def __init__(self, history: Callable[[], str], attendance: Attendance, send: SendToAll) -> None:
        self._history = history
        self._attendance = attendance
        self._send = send
        self._listeners = _Group()
        self._groups: dict[frozenset[str] | None, _Group] = {}
        self._group_of: dict[Link, _Group] = {}
        self._by_room: dict[str, set[_Group]] = {}  # not the group of all rooms

    def listen(self, link: Link) -> None:
        """It gets the plain frames of every room."""
        self._listeners.links[link] = None

    def join(self, link: Link, rooms: frozenset[str] | None) -> None:
        """It gets the frames of these rooms, None for all, each with its Cursor."""
        group = self._groups.get(rooms)
        if group is None:
            group = self._groups[rooms] = _Group(rooms)
            for room in rooms or ():
                self._by_room.setdefault(room, set()).add(group)
        group.links[link] = None
        self._group_of[link] = group

    def follows(self, link: Link) -> bool:
        """Whether it gets frames with a Cursor."""
        return link in self._group_of

    def leave(self, link: Link) -> None:
        """It gets nothing more."""
        self._listeners.links.pop(link, None)
        group = self._group_of.pop(link, None)
        if group is None:
            return
        del group.links[link]
        if not group.links:
            self._dissolve(group)

    def deliver(self, events: Sequence[Event]) -> None:
        """Send a batch's frames, in the order of the log."""
        if self._listeners.links:
            for event in events:
                if isinstance(event, PostEvent):
                    self._listeners.add(plain_frame(event), event.reach)
            if self._listeners.frames:
                self._listeners.flush(self._attendance, self._send)
        if self._groups:
            self._deliver_to_groups(events)

    def _deliver_to_groups(self, events: Sequence[Event]) -> None:
        history = self._history()
        concerned: set[_Group] = set()
        for event in events:
            if isinstance(event, RoomEvent):
                self._follow(event)
            groups = self._followers(event.room)
            if groups:
                frame = cursor_frame(history, event)
                concerned |= groups
            for group in groups:
                group.add(frame, event.reach)
                if isinstance(event, RoomEvent) and event.lost is not None:
                    group.add(cursor_frame(history, event.lost), event.lost.reach)
        for group in concerned:
            group.flush(self._attendance, self._send)

    def tell(self, room: str | None, frame: bytes, reach: Reach) -> None:
        """Send what is no event of the log, and has no Cursor, to who follows the room, None: to all subscribers."""
        for group in [*self._groups.values()] if room is None else self._followers(room):
            group.add(frame, reach)
            group.flush(self._attendance, self._send)

    def _followers(self, room: str) -> set[_Group]:
        groups = self._by_room.get(room, set())
        of_all_rooms = self._groups.get(None)
        return groups | {of_all_rooms} if of_all_rooms else groups

    def _follow(self, event: RoomEvent) -> None:
        """Have those who follow one of the room's names follow its present one."""
        for name in event.names:
            for group in [*self._by_room.get(name, ())]:
                group.names.add(event.room)
                self._by_room.setdefault(event.room, set()).add(group)

    def _dissolve(self, group: _Group) -> None:
        del self._groups[group.rooms]
        for room in group.names:
            groups = self._by_room[room]
            groups.discard(group)
            if not groups:
                del self._by_room[room]
