"""Commands on a room as a whole."""

from dataclasses import dataclass

from chat.commands.accounts import Actor


@dataclass(frozen=True, slots=True)
class CreateRoom:
    """Make a room without posts; its maker is one of its members.

    Of visibility "direct": the room of exactly these members, made under this name if there is none.
    `looks`: the skeleton of the name; "" for a direct room.
    """

    actor: Actor
    room: str
    visibility: str
    topic: str = ""
    members: tuple[str, ...] = ()
    looks: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRoom:
    """Change the fields that are not None.  With a bound of 0 or less the room has none of its own, but the cluster's.

    `drawn`: ten random letters for the end of the name, if the room is private then.
    `looks`: the skeleton of the name that the room gets.
    """

    actor: Actor
    room: str
    topic: str | None = None
    name: str | None = None
    visibility: str | None = None
    archived: bool | None = None
    owner: str | None = None
    members: tuple[str, ...] | None = None
    max_messages: int | None = None
    max_age_seconds: int | None = None
    drawn: str = ""
    looks: str = ""


@dataclass(frozen=True, slots=True)
class DeleteRoom:
    """Delete a room with its posts and settings; its Ids go on if it is made again."""

    actor: Actor
    room: str


@dataclass(frozen=True, slots=True)
class ChangeMembers:
    """Add these users to a room, or remove them."""

    actor: Actor
    room: str
    users: tuple[str, ...]
    on: bool


@dataclass(frozen=True, slots=True)
class SetPreferences:
    """Change what the actor prefers of a room: the fields that are not None."""

    actor: Actor
    room: str
    favourite: bool | None = None
    notify: str | None = None  # a level of notifications; "": the page's default


Command = CreateRoom | ChangeRoom | DeleteRoom | ChangeMembers | SetPreferences
KINDS: dict[str, type[Command]] = {
    "create-room": CreateRoom,
    "change-room": ChangeRoom,
    "delete-room": DeleteRoom,
    "members": ChangeMembers,
    "prefer": SetPreferences,
}
