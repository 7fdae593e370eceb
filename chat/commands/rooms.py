"""What becomes of a room as a whole."""

from dataclasses import dataclass

from chat.commands.accounts import Actor


@dataclass(frozen=True, slots=True)
class CreateRoom:
    """A room that nobody has posted to yet; who makes it is one of its members.

    Of visibility "direct": the one of exactly these, made under this name where there is none.
    `looks`: what look-alikes of the name have in common; "" for a direct room.
    """

    actor: Actor
    room: str
    visibility: str
    topic: str = ""
    members: tuple[str, ...] = ()
    looks: str = ""


@dataclass(frozen=True, slots=True)
class ChangeRoom:
    """What is None stays.  Of the two bounds 0 is none, and -1 what the cluster's settings say.

    `drawn`: ten letters that the name ends with where the room is private by then.
    `looks`: what look-alikes of the name that the room gets have in common.
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
    """A room goes with all its posts and settings, but not its count."""

    actor: Actor
    room: str


@dataclass(frozen=True, slots=True)
class ChangeMembers:
    """These users come into a room, or leave it."""

    actor: Actor
    room: str
    users: tuple[str, ...]
    on: bool


Command = CreateRoom | ChangeRoom | DeleteRoom | ChangeMembers
KINDS: dict[str, type[Command]] = {
    "create-room": CreateRoom,
    "change-room": ChangeRoom,
    "delete-room": DeleteRoom,
    "members": ChangeMembers,
}
