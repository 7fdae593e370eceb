"""All that is replicated beside the log itself, as fields.

Rules.  Whoever touches them holds the state's lock.  Beside a room's positions and what is remembered of ClientIds
every value is immutable: a change puts another one in its place, and a copy of a table is a copy of references.
"""

from chat.remembered import Remembered
from chat.state.rooms import RoomTable


class Tables:
    """The tables.  Empty ones are those of a log without an entry."""

    __slots__ = ("live_bytes", "remembered", "rooms")

    def __init__(self) -> None:
        self.rooms = RoomTable()
        # To be bounded by a command of the leader's that has what is older than 24 h forgotten: apply has no clock.
        self.remembered = Remembered()
        self.live_bytes = 0  # about the sum of the lengths of the records that `ChatState.live` tells of
