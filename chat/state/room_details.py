"""Values that belong to a room beside its posts: its details, its readers, their preferences, and its imports."""

from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple

PUBLIC, PRIVATE, DIRECT = "public", "private", "direct"  # visibilities
ALIASES_MAX = 8  # of a room: then it is not found any more by the oldest of them
DIRECTS_MAX = 500  # that a user has made: as many people as anybody talks to; about 0.5 MB
PINS_MAX = 100  # of a room: as many posts as a page has
MAKERS_SHARE = 4  # a quarter of the rooms that there may be: so many one user makes who is no admin
MEMBERS_MAX = 5_000  # of a room: a change of one copies them all
READERS_MAX = 5_000  # of a room, as many as it may have members: then no more are made
PREFERENCES_MAX = 5_000  # of a room: users who prefer something about it, as many as it may have members
ALL, MENTIONS, NONE = "all", "mentions", "none"  # levels of notifications
MENTIONS_MAX = 100  # of a user in a room: then the oldest go; all of them are copied at each mention of a whole room

IMPORTS_MAX = 64  # of a room: then the one that began first is forgotten, and can be made once more
RUNS_MAX = 1_000  # of an import: 25 KB in a snapshot; replies to messages before them do not say what they answer


class RoomDetails(NamedTuple):
    """A value: a change puts another one in its place.

    A room that somebody has posted to has none until there is something to say; one without posts exists by them.
    """

    visibility: str = PUBLIC
    topic: str = ""
    owner: str = ""  # "": nobody; admins look after it
    archived: bool = False
    members: frozenset[str] = frozenset()
    pins: tuple[int, ...] = ()  # Ids, in the order of pinning; of posts that are gone too, which are not shown
    aliases: tuple[str, ...] = ()  # names it had
    made_at: int = 0  # microseconds since 1970
    touched_at: int = 0  # microseconds since 1970: made, or its last post gone
    changed_index: int = 0  # log index of the last command that changed any of this
    max_age_s: int = 0  # of retention; 0: none of its own
    retention_own: bool = False  # its own retention holds, "unlimited" too; else the cluster's default does
    maker: str = ""  # the user who made it; "": nobody in particular


class Reader(NamedTuple):
    """The read marker and the mentions of a user in a room."""

    read_id: int  # goes back only where the user marks messages as unread
    mentions: tuple[int, ...] = ()  # Ids, ascending, after read_id


class Preferences(NamedTuple):
    """The preferences of a user about a room.  Who prefers nothing has none."""

    favourite: bool = False
    notify: str = ""  # a level of notifications; "": the page's default


class Counts(NamedTuple):
    """The unread messages and mentions of a user in a room."""

    read_id: int  # the last one that they have read
    unread: int  # posts that are left and come after that, their own too
    mentions: int  # of these, those that mention them


class ImportProgress(NamedTuple):
    """The progress of an import into a room.  A value.

    A run is a number of the import and the Id that this message has in the room; those after it, up to the next run,
    have consecutive Ids.  A new one begins where others posted in between.
    """

    messages: int = 0  # those with the numbers 1 to `messages` were imported
    runs: tuple[tuple[int, int], ...] = ()  # by number; at most RUNS_MAX, the newest ones

    def id_of(self, number: int) -> int:
        """The Id of the message of this number; 0 if it was not imported, or its run is not known any more."""
        at = bisect_right(self.runs, number, key=itemgetter(0)) - 1
        if at < 0 or number > self.messages:
            return 0
        first, id = self.runs[at]
        return id + number - first

    def with_next(self, id: int) -> "ImportProgress":
        """The progress once the next message was imported, with this Id."""
        number = self.messages + 1
        if self.runs:
            first, first_id = self.runs[-1]
            if id - first_id == number - first:
                return ImportProgress(number, self.runs)
        return ImportProgress(number, (*self.runs, (number, id))[-RUNS_MAX:])
