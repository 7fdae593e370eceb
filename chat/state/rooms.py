"""The rooms by name: those that exist, and those that were deleted, which go on counting when they are made again."""

from bisect import bisect_left, insort
from collections.abc import Iterable

from chat.history import Room
from chat.state.details import PUBLIC


class RoomTable:
    """All rooms.  For one thread at a time."""

    __slots__ = ("aliases", "by_name", "names")

    def __init__(self, rooms: Iterable[Room] = ()) -> None:
        self.by_name = {room.name: room for room in rooms}  # those that were deleted too
        self.names: list[str] = []  # of the public rooms that exist, by code point
        self.aliases: dict[str, Room] = {}  # by the names that rooms had; none of them is in `by_name`
        self.derive()

    def derive(self) -> None:
        """Make the other tables anew from the rooms; after these were restored or changed by many."""
        self.names = sorted(room.name for room in self.by_name.values() if room.exists and is_public(room))
        self.aliases = {alias: room for room in self.by_name.values() if room.details for alias in room.details.aliases}

    def get(self, name: str) -> Room | None:
        """The room that has or had this name, also one that was deleted."""
        return self.by_name.get(name) or self.aliases.get(name)

    def existing(self, name: str) -> Room | None:
        """The room that has or had this name, where there is one."""
        room = self.get(name)
        return room if room is not None and room.exists else None

    def make(self, name: str) -> Room:
        """A public room of this name, which does not exist: it is listed from now on, and is to get posts or details.

        An alias of this name ends: the room that had it is to forget it.
        """
        room = self.by_name.get(name)
        if room is None:
            room = self.by_name[name] = Room(name)
        self.aliases.pop(name, None)
        insort(self.names, name)
        return room

    def remove(self, room: Room, log_index: int) -> None:
        """It exists no more."""
        if is_public(room):
            del self.names[bisect_left(self.names, room.name)]
        for alias in room.details.aliases if room.details else ():
            self.aliases.pop(alias, None)
        room.delete(log_index)

    def touched_after(self, log_index: int, names: Iterable[str] | None) -> list[Room]:
        """Of the rooms with these names, None for all, those where something came with a later log index.

        Most rooms are quiet: one look at each room's end spares the others' bisection.
        """
        if names is None:
            return [room for room in self.by_name.values() if room.last_index > log_index]
        rooms = {room.name: room for name in names if (room := self.get(name)) is not None}
        return [room for room in rooms.values() if room.last_index > log_index]


def is_public(room: Room) -> bool:
    """Whether everybody but guests may see it."""
    return room.details is None or room.details.visibility == PUBLIC
