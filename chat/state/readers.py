"""How far somebody has read a room, as a value: a change puts another one in its place."""

from typing import NamedTuple


class Reader(NamedTuple):
    """One user in one room."""

    read_id: int  # only grows
    mentions: tuple[int, ...] = ()  # Ids, ascending, after read_id
