"""The rooms by name: those that exist, and those that were deleted, which go on counting when they are made again."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from chat.history import Room


class RoomTable:
    """All rooms.  For one thread at a time."""

    __slots__ = ("by_name", "names")

    def __init__(self, rooms: Iterable[Room] = ()) -> None:
        self.by_name = {room.name: room for room in rooms}  # those that were deleted too
        self.names = sorted(name for name, room in self.by_name.items() if room)  # that exist, by code point

    def get(self, name: str) -> Room | None:
        """The room of this name, also one that was deleted."""
        return self.by_name.get(name)

    def existing(self, name: str) -> Room | None:
        """The room of this name, where there is one."""
        return self.by_name.get(name) or None

    def make(self, name: str) -> Room:
        """The room of this name, which does not exist: it is listed from now on."""
        room = self.by_name.get(name)
        if room is None:
            room = self.by_name[name] = Room(name)
        insort(self.names, name)
        return room

    def remove(self, room: Room, log_index: int) -> None:
        """It exists no more."""
        del self.names[bisect_left(self.names, room.name)]
        room.delete(log_index)

    def listed(self, after: str, limit: int) -> list[Room]:
        """The first `limit` rooms whose names come after `after` ("" for the first of all)."""
        first = bisect_right(self.names, after)
        return [self.by_name[name] for name in self.names[first : first + limit]]

    def touched_after(self, log_index: int, names: Iterable[str] | None) -> list[Room]:
        """Of the rooms with these names, None for all, those where something came with a later log index.

        Most rooms are quiet: one look at each room's end spares the others' bisection.
        """
        by_name = self.by_name
        rooms = by_name.values() if names is None else [by_name[name] for name in names if name in by_name]
        return [room for room in rooms if room.last_index > log_index]
