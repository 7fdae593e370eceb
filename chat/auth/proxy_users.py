"""Users that a trusted proxy has authenticated: `--auth-header`, and `--auth-role-header` for their role.

Rules
- The header counts only on a connection from a trusted proxy.  On any other it is taken away.
- The proxy has to replace what the client sent under this name.  One that adds a header of its own makes a list of the
  two, so a value with a comma is refused: nobody can say which part is the proxy's.
- The user is made at first sight, by a command like any user (`services/proxy_sign_in.py`).  The node vouches for them,
  and they act by a token of the kind "proxy": its secret proves nothing without the header.
- The header comes before a cookie, and before a Bearer token that is not this chat's: that one is the proxy's business.
- A browser keeps such a token's secret as its cookie, so that its websockets can be told from those of the user's other
  browsers.  When the header names another user, that token is revoked, and these websockets end.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from chat.errors import Problem, problem
from chat.state.accounts import PROXY, ROLES, Token, User
from chat.state.tables import Tables
from raft.errors import RaftError

PROXY_USER = "raft_chat.proxy_user"  # in environ: the values of both headers; only where a trusted proxy sent the first
_NAME = re.compile(r"[!#$%&'*+\-.^`|~0-9A-Za-z]{1,64}")  # RFC 9110 §5.6.2, without "_": the server drops such headers
# What means something else already, to the server, to this program or to browsers.
_TAKEN = frozenset((
    "host", "cookie", "authorization", "connection", "upgrade", "origin", "forwarded", "expect", "te", "trailer",
    "transfer-encoding", "content-length", "content-type", "content-encoding", "accept", "accept-encoding",
    "accept-language", "user-agent", "referer", "keep-alive", "idempotency-key", "last-event-id", "range",
))  # fmt: skip
_TAKEN_PREFIXES = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "sec-", "access-control-", "if-")
_BYTES_MAX = 256  # of a name: 64 code points

DEACTIVATED = "User: this user was deactivated. Ask an admin."


class ProxyUser(NamedTuple):
    """A user and their role as the proxy says; "" for no role.

    `other`: a session of somebody else in the same browser, to be revoked; 0 for none.
    """

    name: str
    role: str
    other: int = 0


class SignIn(Protocol):
    """Make a proxy's user known (`services.proxy_sign_in.ProxySignIn`)."""

    def __call__(self, user: ProxyUser, done: Callable[[RaftError | Problem | None], None]) -> None:
        """Make the user, their role and a token for them, as needed.  Never blocks."""


class AuthHeaders(NamedTuple):
    """The keys in environ of --auth-header and --auth-role-header; "" for none."""

    user: str
    role: str

    def take(self, environ: dict[str, Any], *, is_trusted: bool) -> None:
        """Take the headers from a request, and note what a trusted proxy says by them."""
        user, role = environ.pop(self.user, ""), environ.pop(self.role, "")
        if is_trusted and user:
            environ[PROXY_USER] = user, role


def parse(user: str, role: str) -> AuthHeaders | None:
    """The headers of these names; None for none.  Raises ValueError, in words."""
    for name in filter(None, (user, role)):
        if not _NAME.fullmatch(name) or name.lower() in _TAKEN or name.lower().startswith(_TAKEN_PREFIXES):
            raise ValueError(f"{name!r} is not the name of a header like X-Remote-User")
    if role.lower() == user.lower() != "":
        raise ValueError(f"{user!r} is both the header of the user and that of the role")
    return AuthHeaders(_key(user), _key(role)) if user else None


def _key(name: str) -> str:
    return f"HTTP_{name.upper().replace('-', '_')}" if name else ""


def is_of_proxy_user(environ: Mapping[str, Any]) -> bool:
    """Return whether a trusted proxy named the user of this request."""
    return PROXY_USER in environ


def named(environ: Mapping[str, Any]) -> ProxyUser:
    """The user that the proxy names.  Raises Problem (403) for what can be no user's name, or no role."""
    user, role = environ[PROXY_USER]
    try:
        name = user.encode("latin-1").decode()
    except UnicodeError:
        raise refused("is not UTF-8") from None
    if "," in name:
        raise refused("has a comma, or came in two headers")
    if len(user) > _BYTES_MAX:
        raise refused("is too long")
    if role and role not in ROLES:
        detail = f"Role: the proxy in front of this node gives a role that is none of {', '.join(ROLES)}"
        raise problem("bad_proxy_user", detail)
    return ProxyUser(unicodedata.normalize("NFC", name), role)


def refused(why: str) -> Problem:
    """403 for a name that no user can have."""
    return problem("bad_proxy_user", f"User: the user name that the proxy in front of this node gives {why}")


def session_of(tables: Tables, user: ProxyUser, digest: bytes | None, now: int) -> ProxyUser | Token:
    """The token that the proxy's user acts by; the user where they have to be signed in first, with the reason.

    `digest`: of the secret in the browser's cookie.  Raises Problem (403) for a user who was deactivated.
    """
    known = tables.users.get(user.name)
    if known is not None and not known.active:
        raise problem("forbidden", DEACTIVATED)
    number = None if digest is None else tables.numbers.get(digest)
    own = None if number is None else tables.tokens[number]
    if own is not None and own.kind == PROXY and own.user != user.name:
        return user._replace(other=own.number)
    if known is None or (user.role and user.role != known.role):
        return user
    if own is not None and own.kind == PROXY and not 0 < own.expires_at <= now:
        return own
    return shared_session(tables, known) or user


def shared_session(tables: Tables, user: User) -> Token | None:
    """The token by which the user's requests without a cookie act; None if there is none yet."""
    tokens = (tables.tokens[number] for number in tables.tokens_of.get(user.name, ()))
    return next((token for token in tokens if token.kind == PROXY and not token.expires_at), None)
