"""The settings of the whole cluster."""

from typing import NamedTuple

OPEN, LOGIN, INVITE = "open", "login", "invite"


class Settings(NamedTuple):
    """A value: a change puts another one in its place.  Of numbers 0 is no bound."""

    auth: str = OPEN  # or LOGIN
    signup: str = INVITE  # or OPEN
    max_rooms: int = 0
    max_messages: int = 0  # of a room without a bound of its own
    max_age_s: int = 0  # likewise
    unused_room_s: int = 0  # after which a room that nobody has used goes
    empty_room_s: int = 0  # after which a room without posts goes
