"""Who clients are where there is a login: they sign up once, log in, and again whenever their token has ended.

A token whose revocation was answered is good for nothing that begins later, on any member: "revoked is revoked".
"""

from random import Random
from typing import NamedTuple

from chat.commands import NOBODY, OPERATOR, Actor, Command, Post
from chat.commands.accounts import ChangeUser, CreateUser, LogIn, RevokeTokens
from chat.commands.cluster import SetAuth
from chat.state.accounts import ADMIN, MEMBER, SESSION
from chat.state.results import Refusal, TokenMade, TokensRevoked
from chat.state.settings import INVITE, LOGIN
from chat.state.tables import Tables
from tests.simulation.invariants import require

SIGNED_OUT = {"bad_token", "login_needed"}
LASTS_US = 1_500_000  # a token that does not last for ever


class SignIn(NamedTuple):
    """A client gives its password: what is to be proposed depends on the password that is in the state."""

    user: str
    digest: bytes
    lasts_us: int  # 0: for ever

    def command(self, tables: Tables, now: int) -> LogIn:
        """At a member whose state is as new as the client's account, at this time by the member's own clock."""
        user = tables.users.get(self.user)
        require(user is not None, "linearizable", f"{self.user}, whose account had been acknowledged, has none")
        assert user is not None
        expires_at = now + self.lasts_us if self.lasts_us else 0
        return LogIn(Actor(NOBODY, self.user), user.password_index, self.digest, SESSION, "", expires_at)


class Account:
    """Of one client.  In the open mode its name is all there is of it."""

    def __init__(self, id: int, rng: Random, *, login: bool) -> None:
        self.user = f"user-{id}"
        self.token = 0  # its number; 0: signed out
        self._rng = rng
        self._login = login
        self._steps: list[Command] = []  # until it can log in
        if login:
            role = ADMIN if id == 1 else MEMBER
            self._steps = [
                SetAuth(Actor(OPERATOR), LOGIN, INVITE),
                CreateUser(Actor(OPERATOR), self.user, self.user, self.user, "hash", role),
            ]

    @property
    def actor(self) -> Actor:
        """Who it says it is."""
        return Actor(self.token, self.user)

    def needed(self, *, healed: bool) -> Command | SignIn | None:
        """What it has to do before anything else."""
        if self._steps:
            return self._steps[0]
        if not self._login or self.token:
            return None
        return SignIn(self.user, self._rng.randbytes(32), 0 if healed else self._rng.choice([0, 0, LASTS_US]))

    def answered(self, command: Command, result: object) -> None:
        """Something was said to what it did, as its own or as the operator."""
        if self._steps and command == self._steps[0]:
            del self._steps[0]
        elif isinstance(command, LogIn) and isinstance(result, TokenMade):
            self.token = result.token.number
        elif isinstance(result, Refusal) and result.code in SIGNED_OUT and acts_by(command) == self.token:
            self.token = 0

    def whim(self, others: int) -> Command:
        """It signs out, or somebody else is signed out, by hand or by a new password."""
        somebody = f"user-{self._rng.randint(1, others)}"
        match self._rng.randrange(3):
            case 0:
                return RevokeTokens(self.actor, (), self.user)
            case 1:
                return RevokeTokens(Actor(OPERATOR), (), somebody)
            case _:
                return ChangeUser(Actor(OPERATOR), somebody, password_hash=f"hash {self._rng.random()}")


def acts_by(command: object) -> int:
    """The number of the token that it is done by; 0 or less: by none."""
    if isinstance(command, Post):
        return command.by
    actor = getattr(command, "actor", None)
    return actor.by if isinstance(actor, Actor) else 0


class Revocations:
    """What clients were told of."""

    def __init__(self) -> None:
        self._answered: set[int] = set()

    def answered(self, result: TokensRevoked) -> None:
        """Somebody was told that these have ended."""
        self._answered.update(result.numbers)

    def __contains__(self, number: int) -> bool:
        return number in self._answered
