"""The rooms by name: those that exist, and what goes on counting where a room was.

Rules.
- No Id is given twice under one name.  A name that a room had (it was deleted, renamed and this name forgotten, or
  made private) stays in `by_name` as a room that does not exist, with its count, and a room that is made there goes on
  from it.  So a link to a post leads to that post or to none.
- Of these names the newest ones are kept, and what is left of the others is `forgotten` (`forget`).
- Names of private rooms are drawn at random and never given again, so nothing stays of them: a private room that is
  gone is as one that never was.
- A room's details are put in their place by `describe` alone, for the other tables follow from them.
- What look-alikes of a public room's name have in common is what the command said that gave the name; appliers look at
  that alone.  For a room of an older log it was worked out here, which is good enough for who asks at the edge: it may
  differ from Python to Python.
"""

import re
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable

from chat.confusable_names import room_looks
from chat.state.forgotten_rooms import ForgottenRooms
from chat.state.room import Room
from chat.state.room_details import DIRECT, PRIVATE, PUBLIC, RoomDetails

# The random end of a private room's name.  Nobody can ask for such a name, so a guess reveals no room.
_PRIVATE_NAME = re.compile("~[a-z2-7]{10}$")
_NONE = RoomDetails()


class RoomDirectory:
    """The rooms, by all their names.  For one thread at a time."""

    __slots__ = (
        "aliases", "alike", "by_name", "directs", "forgotten", "gone", "looks", "made", "names", "of_user", "privates",
        "retired", "retired_count", "turned_private",
    )  # fmt: skip

    def __init__(self, rooms: Iterable[Room] = ()) -> None:
        self.by_name = {room.name: room for room in rooms}  # those that do not exist any more too
        # The present names of rooms that became private, by their former public names.  A post makes no room there.
        self.turned_private: dict[str, str] = {}
        self.forgotten = ForgottenRooms()
        self.looks: dict[str, str] = {}  # skeletons of the names of public rooms, by name, as commands gave them
        self.retired: set[str] = set()  # deactivated users: the rooms they made are not counted
        # All that follows is derived.
        self.gone: dict[str, Room] = {}  # of `by_name`, those that do not exist any more, about in the order of going
        self.names: list[str] = []  # of the public rooms that exist, by code point
        self.privates: list[str] = []  # of the private ones likewise
        self.directs: dict[frozenset[str], Room] = {}  # by their members
        self.of_user: dict[str, list[str]] = {}  # of the rooms that somebody is a member of, by code point
        self.aliases: dict[str, Room] = {}  # by the names that rooms had; none of them is in `by_name`
        self.alike: dict[str, list[str]] = {}  # names of public rooms by what these have in common, by code point
        self.made: Counter[str] = Counter()  # how many public and private rooms there are, by maker
        self.retired_count = 0  # of them, those of the retired
        self.derive()

    def derive(self) -> None:
        """Make the other tables anew from the rooms; after these were restored or changed by many."""
        self.names, self.privates, self.directs, self.of_user, self.aliases, self.alike = [], [], {}, {}, {}, {}
        self.made, self.retired_count = Counter(), 0
        for name in sorted(self.by_name):
            if (room := self.by_name[name]).exists:
                self._list(room, (room.details or _NONE).members, self.looks.get(name, ""))
        gone = (room for room in self.by_name.values() if not room.exists)
        self.gone = {room.name: room for room in sorted(gone, key=self._went_at())}

    @property
    def count(self) -> int:
        """The number of public and private rooms, without those of deactivated makers."""
        return len(self.names) + len(self.privates) - self.retired_count

    def retire(self, user: str, *, is_active: bool) -> None:
        """Count the rooms that this user made, or (not active) stop counting them."""
        if is_active == (user in self.retired):
            (self.retired.discard if is_active else self.retired.add)(user)
            self.retired_count += -self.made[user] if is_active else self.made[user]

    def looks_like(self, looks: str, room: Room | None = None) -> bool:
        """Return whether another public room than `room` has a name that looks like this; the same on every node."""
        names = self.alike.get(looks, ()) if looks else ()
        own = None if room is None else room.name
        return any(name != own and name in self.looks for name in names)

    def get(self, name: str) -> Room | None:
        """The room that has or had this name, also one that was deleted."""
        return self.by_name.get(name) or self.aliases.get(name)

    def existing(self, name: str) -> Room | None:
        """The room that has or had this name, where there is one."""
        room = self.get(name)
        return room if room is not None and room.exists else None

    def make(self, name: str, details: RoomDetails | None = None, looks: str = "") -> Room:
        """A room of this name, which no room has: it is listed from now on; without details it is to get a post.

        An alias of this name ends, and the count goes on from where the room that had it is.
        """
        former = self.aliases.pop(name, None)
        room = self.by_name.get(name)
        if room is None:
            room = self.by_name[name] = Room(name)
            room.newest_id = 0 if is_private_name(name) else self.forgotten.newest_id(name)
        self.gone.pop(name, None)
        if former is not None and former.details is not None:
            room.newest_id = max(room.newest_id, former.newest_id)
            former.details = former.details._replace(aliases=_without(former.details.aliases, name))
        room.details = details
        self.turned_private.pop(name, None)
        self._list(room, (details or _NONE).members, looks)
        return room

    def describe(self, room: Room, details: RoomDetails, name: str | None = None, looks: str = "") -> None:
        """Give the room, which exists, these details, and the name if one is given, which is free or was its own."""
        before = room.details or _NONE
        renamed = name is not None and name != room.name
        looks = looks if renamed else self.looks.get(room.name, "")
        self._unlist(room, before.members if renamed else before.members - details.members)
        was_called = room.name
        had = {was_called, *before.aliases}
        if name is not None and renamed:
            del self.by_name[room.name]
            room.name = name
            self.by_name[name] = room
        room.details = details
        self._list(room, details.members if renamed else details.members - before.members, looks)
        turned_private = before.visibility == PUBLIC and details.visibility == PRIVATE
        for left in sorted(had - {room.name, *details.aliases}):
            self._leave(left, room, turned_private)
            if turned_private and left == was_called:
                self.by_name[left].delete(details.changed_index)  # those who lose the room get that as an event

    def touch(self, room: Room, time: int) -> None:
        """Note that the room was used, or became empty, at this time."""
        details = room.details or _NONE
        room.details = details._replace(touched_at=max(details.touched_at, time))

    def remove(self, room: Room, log_index: int) -> None:
        """Remove a room that exists."""
        details = room.details or _NONE
        self._unlist(room, details.members)
        if details.visibility == PUBLIC:
            for alias in details.aliases:
                self._leave(alias, room)
            self.gone[room.name] = room
        else:
            del self.by_name[room.name]
        room.delete(log_index)

    def forget(self, name: str) -> None:
        """Forget the name of a room that is gone; nothing where it is not."""
        room = self.gone.pop(name, None)
        if room is not None:
            del self.by_name[name]
            self.turned_private.pop(name, None)
            self.forgotten.add(name, room.newest_id, room.deleted_at)

    def _went_at(self) -> Callable[[Room], int]:
        """A function: the log index at which a room went; for all former names of a private one, when it became so."""
        turned_at: dict[str, int] = {}
        for former, name in self.turned_private.items():
            turned_at[name] = max(turned_at.get(name, 0), self.by_name[former].deleted_at)
        private_name = self.turned_private.get
        return lambda room: max(room.deleted_at, turned_at.get(private_name(room.name, ""), 0))

    def _leave(self, name: str, room: Room, turned_private: bool = False) -> None:
        """A name that this room had is none of its names any more; it stays where there is something to keep."""
        if turned_private:
            self.turned_private[name] = room.name
        if (room.newest_id or turned_private) and not is_private_name(name):
            left = self.by_name[name] = self.gone[name] = Room(name)
            left.newest_id = room.newest_id

    def _list(self, room: Room, coming: Iterable[str], looks: str = "") -> None:
        """Add the room, and these members of it, to the derived tables."""
        details = room.details or _NONE
        if details.visibility == DIRECT:
            self.directs[details.members] = room
        else:
            insort(self.privates if details.visibility == PRIVATE else self.names, room.name)
            self.made[details.maker] += 1
            self.retired_count += details.maker in self.retired
        if details.visibility == PUBLIC:
            if looks:
                self.looks[room.name] = looks
            if looks := looks or room_looks(room.name):
                insort(self.alike.setdefault(looks, []), room.name)
        for alias in details.aliases:
            self.aliases[alias] = room
        for member in coming:
            insort(self.of_user.setdefault(member, []), room.name)

    def _unlist(self, room: Room, leaving: Iterable[str]) -> None:
        details = room.details or _NONE
        if details.visibility == DIRECT:
            del self.directs[details.members]
        else:
            _remove(self.privates if details.visibility == PRIVATE else self.names, room.name)
            self.made[details.maker] -= 1
            if not self.made[details.maker]:
                del self.made[details.maker]
            self.retired_count -= details.maker in self.retired
        if details.visibility == PUBLIC:
            looks = self.looks.pop(room.name, "") or room_looks(room.name)
            alike = self.alike.get(looks, [])
            if looks:
                _remove(alike, room.name)
            if not alike:
                self.alike.pop(looks, None)
        for alias in details.aliases:
            self.aliases.pop(alias, None)
        for member in leaving:
            names = self.of_user[member]
            _remove(names, room.name)
            if not names:
                del self.of_user[member]

    def touched_after(self, log_index: int, names: Iterable[str] | None) -> list[Room]:
        """Return the rooms with these names (None: all) in which something came with a later log index.

        Most rooms are quiet: one look at each room's end spares the others' bisection.
        """
        if names is None:
            return [room for room in self.by_name.values() if room.last_index > log_index]
        rooms = {room.name: room for name in names if (room := self.get(name)) is not None}
        return [room for room in rooms.values() if room.last_index > log_index]


def is_public(room: Room) -> bool:
    """Return whether everybody but guests may see the room."""
    return room.details is None or room.details.visibility == PUBLIC


def is_private_name(name: str) -> bool:
    """Return whether the name is one of a private or direct room, which nobody can ask for."""
    return _PRIVATE_NAME.search(name) is not None


def _remove(names: list[str], name: str) -> None:
    del names[bisect_left(names, name)]


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(each for each in names if each != name)
