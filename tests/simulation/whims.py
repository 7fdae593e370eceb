"""Commands of all other kinds, about users, rooms and credentials that nobody else has to do with.

Nobody checks what they answer but that it is the same on every member, and so is the state that they lead to.
"""

from collections.abc import Callable
from random import Random

from chat.commands import NOBODY, OPERATOR, Actor, Command
from chat.commands.accounts import (
    ChangeUser,
    CreateInvite,
    CreateTicket,
    CreateToken,
    CreateUser,
    RecordTokenUse,
    RedeemTicket,
    RevokeInvite,
    RevokeTokens,
)
from chat.commands.cluster import SetAuth
from chat.commands.imports import ImportedPost, ImportPost
from chat.commands.posts import MarkRead, MarkUnread, Pin
from chat.commands.rooms import ChangeMembers, ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from chat.state.accounts import API, GUEST, MEMBER, SESSION
from chat.state.room_details import DIRECT, PRIVATE, PUBLIC
from chat.state.settings import INVITE, LOGIN, OPEN

_OPERATOR = Actor(OPERATOR)
_ROLES = (MEMBER, MEMBER, GUEST)


class Whims:
    """Of one client."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._makers: tuple[Callable[[Actor, int], Command], ...] = (
            self._user, self._user_by_invite, self._changed_user, self._invite, self._no_invite, self._ticket,
            self._ticket, self._no_ticket, self._no_ticket, self._token, self._no_tokens, self._used, self._mark,
            self._room, self._new_room, self._new_room, self._members, self._members, self._no_room, self._pin,
            self._signup,
        )  # fmt: skip

    def next(self, actor: Actor, now: int) -> Command:
        """Some command; `actor` is the client, `now` the time in microseconds, right or wrong."""
        return self._rng.choice(self._makers)(actor, now)

    # Few of each, so that they often are what there is.

    def _name(self) -> str:
        return self._rng.choice(["amy", "bea", "cat", "dan"])

    def _digest(self) -> bytes:
        return bytes([self._rng.randrange(3)]) * 32

    def _end(self, now: int) -> int:
        return self._rng.choice([0, now + self._rng.randrange(2_000_000)])

    def _user(self, actor: Actor, now: int) -> Command:
        name = self._name()
        return CreateUser(_OPERATOR, name, name, name, "hash", self._rng.choice(_ROLES))

    def _user_by_invite(self, actor: Actor, now: int) -> Command:
        name = self._name()
        return CreateUser(Actor(NOBODY, name), name, name, name, "hash", MEMBER, self._digest())

    def _changed_user(self, actor: Actor, now: int) -> Command:
        display, active = self._rng.choice([None, "Somebody"]), self._rng.choice([None, True, False])
        return ChangeUser(_OPERATOR, self._name(), display, self._rng.choice([None, "another"]), active=active)

    def _invite(self, actor: Actor, now: int) -> Command:
        uses = self._rng.randint(1, 3)
        return CreateInvite(_OPERATOR, self._digest(), self._rng.choice(_ROLES), (), uses, self._end(now), "")

    def _no_invite(self, actor: Actor, now: int) -> Command:
        return RevokeInvite(_OPERATOR, self._digest())

    def _ticket(self, actor: Actor, now: int) -> Command:
        return CreateTicket(actor, bytes(32), self._end(now))

    def _no_ticket(self, actor: Actor, now: int) -> Command:
        return RedeemTicket(bytes(32))

    def _token(self, actor: Actor, now: int) -> Command:
        return CreateToken(actor, self._digest(), self._rng.choice([SESSION, API]), "", self._end(now))

    def _no_tokens(self, actor: Actor, now: int) -> Command:
        return RevokeTokens(_OPERATOR, (), self._name())

    def _used(self, actor: Actor, now: int) -> Command:
        return RecordTokenUse(tuple(self._rng.sample(range(1, 30), 5)))

    def _mark(self, actor: Actor, now: int) -> Command:
        room, id = f"room-{self._rng.randint(1, 3)}", self._rng.randint(1, 20)
        if id % 4 == 0:  # drawn with the marks, so that the lives of all seeds go on as they did
            return SetPreferences(actor, room, id > 8, "none")
        return (MarkUnread if id % 3 == 0 else MarkRead)(((actor.by, room, id),))

    def _pin(self, actor: Actor, now: int) -> Command:
        room, id = f"room-{self._rng.randint(1, 3)}", self._rng.randint(1, 20)
        return Pin(actor, room, id, self._rng.random() < 0.7)

    def _room(self, actor: Actor, now: int) -> Command:
        return ChangeRoom(_OPERATOR, f"room-{self._rng.randint(1, 3)}", topic=self._rng.choice(["", "a topic"]))

    def _den(self) -> str:
        """Where nobody posts."""
        return self._rng.choice(["den", "den~aaaaaaaaaa", "den~bbbbbbbbbb"])

    def _new_room(self, actor: Actor, now: int) -> Command:
        den = self._den()
        who = tuple(self._rng.sample(["user-1", "user-2", "user-3"], 2)) if actor.by else ()
        visibility = PRIVATE if "~" in den else PUBLIC
        if visibility == PRIVATE and self._rng.random() < 0.3:
            return CreateRoom(actor, den, DIRECT, "", (actor.user, *who))
        return CreateRoom(actor, den, visibility, "", who)

    def _members(self, actor: Actor, now: int) -> Command:
        den = self._rng.choice([self._den(), f"room-{self._rng.randint(1, 3)}"])
        return ChangeMembers(_OPERATOR, den, (self._rng.choice([self._name(), "user-2"]),), self._rng.random() < 0.7)

    def _no_room(self, actor: Actor, now: int) -> Command:
        return DeleteRoom(_OPERATOR, self._den())

    def _signup(self, actor: Actor, now: int) -> Command:
        """It never changes the mode: that is the scenario's."""
        return SetAuth(_OPERATOR, LOGIN, self._rng.choice([OPEN, INVITE])) if actor.by else self._imported(now)

    def _imported(self, now: int) -> Command:
        """Messages come twice and with gaps, as those of an import that broke off."""
        number = max(1, min(self._rng.sample(range(1, 30), 5)) - 4)
        message = ImportedPost("eve", f"{number:02} from abroad", f"imported-{number}", reply_to=number - 1)
        return ImportPost(_OPERATOR, "den", "elsewhere", number, (("+", ("eve",)),), number == 2, now, message)
