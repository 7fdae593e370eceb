"""Results of `apply`, for the proposer of the command on the node where it was proposed; and answers to questions."""

from dataclasses import dataclass
from typing import NamedTuple

from chat.state.accounts import Token, User
from chat.state.events import PostChanged, Reacted, RoomDeleted
from chat.state.name_pages import NamePage
from chat.state.post_revisions import Reactions
from chat.state.room_details import Counts, Preferences, RoomDetails
from chat.state.settings import Settings


@dataclass(slots=True)  # not frozen: one is made for each post, and that would cost three times as much
class Posted:
    """A post that was made.  `created` False: an earlier one that this request repeats."""

    room: str
    id: int
    index: int  # the log's
    created: bool
    json: bytes  # as readers see it, no newline


@dataclass(frozen=True, slots=True)
class Repeated:
    """A post whose (User, ClientId) made one before, so that nothing was made of this one.

    `chat/services/proposals.py` compares the two posts, by the log.
    """

    id: int  # of the earlier one; 0 where it is gone or was never in the room that is named now
    index: int  # the log's, of the earlier one
    version_index: int  # the log's, of what shows it now; 0 where it is gone or was deleted
    reactions: Reactions = ()  # to it


@dataclass(frozen=True, slots=True)
class Done:
    """The command is done, and there is nothing to return."""

    index: int  # the log's


@dataclass(frozen=True, slots=True)
class UserMade:
    """Somebody has an account."""

    index: int  # the log's
    user: User


@dataclass(frozen=True, slots=True)
class UserChanged:
    """An account is what was asked for."""

    index: int  # the log's
    user: User


@dataclass(frozen=True, slots=True)
class TokenMade:
    """The token was made."""

    index: int  # the log's
    token: Token


@dataclass(frozen=True, slots=True)
class TokensRevoked:
    """The tokens that were revoked: those of the command that existed."""

    index: int  # the log's
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """The ticket was good, and is not any more: who brought it acts as this token."""

    index: int  # the log's
    token: Token


@dataclass(frozen=True, slots=True)
class SettingsChanged:
    """The cluster's settings are what was asked for."""

    index: int  # the log's
    settings: Settings


@dataclass(frozen=True, slots=True)
class Refusal:
    """A committed command that changed nothing; `detail` begins with the field's name."""

    code: str  # "no_such_post", "no_such_room", "not_found", "gone", "not_the_author", "unknown_command", …
    detail: str


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A room as the list of rooms shows it."""

    name: str
    posts: int  # that are left
    last_posted_at: int  # microseconds since 1970; 0 where nobody has posted yet
    max_messages: int | None = None  # of retention
    details: RoomDetails = RoomDetails()  # noqa: RUF009  a value
    # For the acting user, with sign-in.
    joined: bool | None = None  # whether they are a member
    counts: Counts | None = None  # if they are a reader of it
    newest_id: int = 0  # that was ever given
    preferences: Preferences = Preferences()  # noqa: RUF009  a value; of the acting user too


class RoomsPage(NamedTuple):
    """Rooms one after the other, as of one moment."""

    log_index: int  # the state's at that moment
    rooms: list[RoomSummary]
    page: NamePage  # of their names


@dataclass(frozen=True, slots=True)
class RoomMade:
    """The room exists; `created` False: it existed before."""

    index: int
    room: RoomSummary
    created: bool


@dataclass(frozen=True, slots=True)
class RoomChanged:
    """A room's settings are what was asked for."""

    index: int
    room: RoomSummary


@dataclass(frozen=True, slots=True)
class Missed:
    """The part of a room that a client with a cursor has not seen."""

    room: str
    deleted: bool  # before these posts
    posts: int
    newest_id: int
    newest_index: int  # the log's, of the last post or of the deletion
    changes: int = 0  # of posts: the last edit or deletion of each, and the last reaction


AccountResult = UserMade | UserChanged | TokenMade | TokensRevoked | Redeemed | SettingsChanged
Success = Posted | Repeated | Done | RoomMade | RoomDeleted | RoomChanged | PostChanged | Reacted | AccountResult
Result = Success | Refusal
