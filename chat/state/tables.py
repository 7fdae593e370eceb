"""The tables of the replicated state.

Rules.
- Every access holds the state's lock.
- All values but rooms, ClientIds and log times are immutable: a change replaces one.  So a copy of a table is a copy of
  references.
- An applier calls `change` after all its checks, before it changes anything.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from chat.state.accounts import ADMIN, Invite, Ticket, Token, User
from chat.state.client_ids import ClientIds
from chat.state.log_times import LogTimes
from chat.state.room import Room
from chat.state.room_details import (
    IMPORTS_MAX,
    MAKERS_SHARE,
    PREFERENCES_MAX,
    READERS_MAX,
    ImportProgress,
    Preferences,
    Reader,
)
from chat.state.room_directory import RoomDirectory
from chat.state.settings import LOGIN, Settings

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")
_NO_READERS: dict[str, Reader] = {}
_NO_PREFERENCES: dict[str, Preferences] = {}


class WouldChange(Exception):
    """Raised in a dry run: the command would change something."""


class Tables:
    """The tables.  Empty ones are those of a log without an entry."""

    __slots__ = (
        "client_ids",
        "erased_index",
        "guarded",
        "imports",
        "invites",
        "is_dry_run",
        "live_bytes",
        "log_times",
        "next_token",
        "numbers",
        "preferences",
        "readers",
        "rooms",
        "settings",
        "skeletons",
        "tickets",
        "tickets_of",
        "tokens",
        "tokens_of",
        "user_names",
        "users",
    )  # fmt: skip

    def __init__(self) -> None:
        self.settings = Settings()
        self.rooms = RoomDirectory()
        self.users: dict[str, User] = {}  # by name
        self.user_names: list[str] = []  # derived: by code point
        self.skeletons: dict[str, str] = {}  # derived: names by skeleton
        self.tokens: dict[int, Token] = {}  # by number
        self.numbers: dict[bytes, int] = {}  # derived: tokens by digest
        self.tokens_of: dict[str, tuple[int, ...]] = {}  # derived: a user's tokens, ascending; none for who has none
        self.next_token = 1
        self.invites: dict[bytes, Invite] = {}  # by digest
        self.tickets: dict[bytes, Ticket] = {}  # by digest, in the order of making
        self.tickets_of: dict[int, tuple[bytes, ...]] = {}  # derived: a token's tickets, in the order of making
        self.readers: dict[str, dict[str, Reader]] = {}  # by room and user
        self.preferences: dict[str, dict[str, Preferences]] = {}  # by room and user, of those who have some
        # By room and source, each in the order in which they began.
        self.imports: dict[str, dict[str, ImportProgress]] = {}
        self.log_times = LogTimes()
        self.client_ids = ClientIds()
        self.live_bytes = 0  # about the sum of the lengths of the records that `ChatState.live` names
        self.guarded = False  # derived: sign-in is on, or there is a room that not everybody may see
        self.erased_index = 0  # log index of the newest command that took a text back
        self.is_dry_run = False  # nothing may be changed now; not replicated

    def change(self) -> None:
        """Announce a change.  Raises WouldChange in a dry run."""
        if self.is_dry_run:
            raise WouldChange

    def derive(self) -> None:
        """Compute the derived fields from the others."""
        self.rooms.retired = {user.name for user in self.users.values() if not user.active}
        self.rooms.derive()
        self.user_names = sorted(self.users)
        self.skeletons = {user.skeleton: user.name for user in self.users.values()}
        self.numbers = {token.digest: token.number for token in self.tokens.values()}
        self.tokens_of = _grouped((token.user, number) for number, token in self.tokens.items())
        self.tickets_of = _grouped((ticket.number, digest) for digest, ticket in self.tickets.items())
        self.guard()

    def guard(self) -> None:
        """Compute `guarded` after a change of the mode, or of rooms that not everybody may see."""
        self.guarded = self.settings.auth == LOGIN or bool(self.rooms.privates or self.rooms.directs)

    @property
    def is_full(self) -> bool:
        """True if the bound of public and private rooms is reached; direct rooms are bounded by maker.

        Rooms made by a deactivated user do not count.
        """
        bound = self.settings.max_rooms
        return bound > 0 and self.rooms.count >= bound

    def has_made_its_share(self, maker: str) -> bool:
        """True if this user (with sign-in, and no admin) has made as many public and private rooms as one may."""
        bound = self.settings.max_rooms
        if bound <= 0 or self.settings.auth != LOGIN or not maker:
            return False
        user = self.users.get(maker)
        return (user is None or user.role != ADMIN) and self.rooms.made[maker] >= max(1, bound // MAKERS_SHARE)

    def readers_of(self, room: Room) -> Mapping[str, Reader]:
        """The readers of the room, by user."""
        return self.readers.get(room.name, _NO_READERS)

    def has_place_for(self, room: Room, user: str) -> bool:
        """True if this user is a reader of the room, or it has fewer than READERS_MAX."""
        readers = self.readers_of(room)
        return user in readers or len(readers) < READERS_MAX

    def put_reader(self, room: Room, user: str, reader: Reader) -> bool:
        """Store the reader.  Return False if the room has READERS_MAX."""
        if not self.has_place_for(room, user):
            return False
        self.change()
        name = self.users[user].name  # one object for a name, however many rooms it is in
        self.readers.setdefault(room.name, {})[name] = reader
        return True

    def add_readers(self, room: Room, users: Iterable[str]) -> None:
        """Make these new members readers of the room; earlier posts are not unread for them."""
        for name in users:
            if name not in self.readers_of(room):
                self.put_reader(room, name, Reader(room.newest_id))

    def preferences_of(self, room: Room, user: str) -> Preferences:
        """The preferences of this user about the room."""
        return self.preferences.get(room.name, _NO_PREFERENCES).get(user) or Preferences()

    def put_preferences(self, room: Room, user: str, preferences: Preferences) -> bool:
        """Store a user's preferences about the room.  Return False if it has those of PREFERENCES_MAX others."""
        of_room = self.preferences.get(room.name, _NO_PREFERENCES)
        if user not in of_room and len(of_room) >= PREFERENCES_MAX:
            return False
        self.change()
        if preferences != Preferences():
            self.preferences.setdefault(room.name, {})[self.users[user].name] = preferences
        elif user in of_room:
            del self.preferences[room.name][user]
            if not self.preferences[room.name]:
                del self.preferences[room.name]
        return True

    def remove_tokens(self, numbers: Iterable[int]) -> tuple[int, ...]:
        """Remove these tokens, which are there, with their tickets; return their numbers."""
        gone = tuple(numbers)
        for number in gone:
            self.change()
            token = self.tokens.pop(number)
            del self.numbers[token.digest]
            left = tuple(each for each in self.tokens_of[token.user] if each != number)
            if left:
                self.tokens_of[token.user] = left
            else:
                del self.tokens_of[token.user]
            for digest in self.tickets_of.pop(number, ()):
                del self.tickets[digest]
        return gone

    def import_progress(self, room: Room, source: str) -> ImportProgress:
        """The progress of the import of this name into the room."""
        return self.imports.get(room.name, {}).get(source) or ImportProgress()

    def put_import_progress(self, room: Room, source: str, progress: ImportProgress) -> None:
        """Store how far an import has come.  With more than IMPORTS_MAX of the room the first one is forgotten."""
        imports = self.imports.setdefault(room.name, {})
        imports[source] = progress
        if len(imports) > IMPORTS_MAX:
            del imports[next(iter(imports))]

    def remove_room(self, room: Room, log_index: int) -> None:
        """Remove the room with its posts, read markers and preferences."""
        self.live_bytes -= room.record_bytes
        self.readers.pop(room.name, None)
        self.preferences.pop(room.name, None)
        self.imports.pop(room.name, None)
        self.rooms.remove(room, log_index)
        self.guard()


class StateReader(Protocol):
    """The state, for those that only ask it (`chat.state.machine.ChatState` has more).  Any thread."""

    @property
    def guarded(self) -> bool:
        """True if answers depend on the user who asks.  Takes no lock."""

    def ask(self, question: Callable[[Tables], T]) -> T:
        """Return what `question` finds in the tables.  It must be short, keep no table and change nothing."""

    def has_room(self, name: str) -> bool:
        """Return whether a room has or had this name.  Takes no lock."""

    def present_names(self, rooms: Iterable[str]) -> frozenset[str]:
        """The present names of the rooms that have or had these names."""


def _grouped(pairs: Iterable[tuple[K, V]]) -> dict[K, tuple[V, ...]]:
    """The values of each key, in the order of the pairs."""
    found: dict[K, list[V]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
