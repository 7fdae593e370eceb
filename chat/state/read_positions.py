"""How far somebody has read a room, and what is left, as values: a change puts another one in their place."""

from typing import NamedTuple

READERS_MAX = 5_000  # of a room, as many as it may have members: then no more are made
MENTIONS_MAX = 100  # of a user in a room: then the oldest go; all of them are copied at each mention of a whole room


class Reader(NamedTuple):
    """One user in one room."""

    read_id: int  # only grows
    mentions: tuple[int, ...] = ()  # Ids, ascending, after read_id


class Counts(NamedTuple):
    """What a room has for somebody who reads it."""

    read_id: int  # up to which he has read
    unread: int  # posts that are left and come after that, whoever posted them
    mentions: int  # of these, those that mention him
