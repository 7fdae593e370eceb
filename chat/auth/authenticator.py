"""Authentication: the user of a request, by its Bearer token (RFC 6750 §2.1) or its cookie.

Rules.
- A token in the header wins over a cookie.
- A malformed token is refused at once.
- A token that this node does not know may have been made at another node a moment ago.  So the state is brought up to
  date before the token is refused; that is limited by address.
- Appliers decide again about each change, and reads use the token's user once the state is new enough (`reads.py`).
- No token is ever logged or stored.
- A cookie, and a user whom a proxy names, count for no read that a browser sends for another site's page.
"""

import re
import time
from collections.abc import Callable, Mapping
from hmac import compare_digest
from typing import Any

from chat.auth import cookies, secrets
from chat.auth.guest_pages import is_of_guest_page
from chat.auth.origins import check_read, is_over_tls
from chat.auth.proxy_users import ProxyUser, SignIn, is_of_proxy_user, named, session_of
from chat.auth.rate_limits import GuessLimits, Rate, TokenBuckets, too_many
from chat.auth.secrets import Passwords
from chat.auth.token_activity import TokenActivity
from chat.commands import OPERATOR, Actor
from chat.errors import Problem, problem, problem_of, problem_of_refusal
from chat.replica import Replica
from chat.server.networks import network
from chat.state import permissions
from chat.state.accounts import HOUR, PROXY, Token
from chat.state.apply.credentials import BAD_LOGIN
from chat.state.permissions import BAD_TOKEN, LOGIN_NEEDED
from chat.state.results import Refusal
from chat.state.settings import OPEN
from chat.state.tables import StateReader, Tables
from raft.errors import RaftError, Unavailable

# Of an address: looking for an unknown token costs a round to a majority.  Apart from guesses at passwords: a forgotten
# program whose token was revoked must not keep an office from signing in.
UNKNOWN_TOKENS = Rate(refill_s=0.1, burst=100)
CHANGES = Rate(refill_s=0.01, burst=200)  # of a token, posts too: no person is so quick, and a bot can wait
# Of an address in the open mode, all changes but posts, which back-pressure bounds: an office may share one address.
OPEN_CHANGES = Rate(refill_s=0.02, burst=400)
# Sign-ins to an account with the right password: each takes a third of a second of a core, and a place in the log.
SIGN_INS = Rate(refill_s=2.0, burst=60)

_NOBODY = Actor()
_TOKEN = re.compile(f"{secrets.TOKEN}[0-9A-Za-z_-]{{43}}")  # as secrets.new_secret makes them
_TWO_COOKIES = Refusal("bad_token", "Cookie: the request has two different tokens. Delete the cookies of this site.")
_BAD_SETUP = Refusal("bad_token", "Token: this is not the token that the node printed at its last start")
_WITHOUT_PROXY = Refusal("bad_token", "Authorization: sign in at the proxy in front of this chat.")
_EXPIRED = Refusal("bad_token", "Authorization: this token has expired. Sign in again.")


class Authenticator:
    """The authentication and the limits of one node's clients.  Any thread."""

    def __init__(
        self,
        replica: Replica,
        state: StateReader,
        *,
        operator: str = "",
        setup: str = "",
        scraper: str = "",
        passwords: Passwords | None = None,
        token_activity: TokenActivity | None = None,
        needs_login: bool = False,
        knows_mode: bool = True,
        sign_in: SignIn | None = None,
        clock: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`operator`: the secret of this node's own token file, `setup`: what makes the first user, `scraper`: what
        reads the metrics; "" for none.

        `needs_login`: nobody is served before sign-in is on.  `knows_mode` False: the state may not have the cluster's
        mode yet, until a read is confirmed.  `sign_in`: of the users that a proxy names.  `clock` gives microseconds
        since 1970, by default the log's time: what is made and what is recognised at a node whose own clock is wrong
        is so by the cluster's.
        """
        self._replica = replica
        self._state = state
        self._operator = operator.encode()
        self._setup = setup.encode()
        self._scraper = scraper.encode()
        self._token_activity = token_activity or TokenActivity()
        self._needs_login = needs_login
        self._knows_mode = knows_mode
        self._sign_in = sign_in
        self._is_asking = False  # a read that confirms the mode is under way
        self._clock = clock or replica.agreed_time
        self._guesses = GuessLimits(monotonic)
        self._unknown_tokens = TokenBuckets(UNKNOWN_TOKENS, monotonic)
        self._changes = TokenBuckets(CHANGES, monotonic)
        self._open_changes = TokenBuckets(OPEN_CHANGES, monotonic)
        self._sign_ins = TokenBuckets(SIGN_INS, monotonic)
        self.passwords = passwords or Passwords()

    def authenticate(self, environ: Mapping[str, Any]) -> Actor | None:
        """Authenticate a request by its WSGI environ and this node's state, without waiting; so for `/ws` too.

        Returns Actor() for nobody: in the open mode, whose requests name their user, or without any credential.
        Returns None if the token is not known here yet; a caller that cannot wait for it raises `refused()`.
        Raises Problem (401) for a token that can only be wrong.
        """
        header = environ.get("HTTP_AUTHORIZATION")
        if header is None and not self._state.guarded:
            return _NOBODY
        secret = _bearer(header or "")
        if secret is not None and secret.startswith(secrets.OPERATOR):
            if compare_digest(secret.encode(), self._operator):
                return Actor(OPERATOR)
            raise refused()
        if self._is_open():
            return _NOBODY
        if is_of_proxy_user(environ) and not (secret or "").startswith(secrets.TOKEN) and not is_of_guest_page(environ):
            self._check_read(environ)
            return self._actor_of_proxy_user(environ)
        if secret is None and not is_of_guest_page(environ):
            secret = self._cookie(environ)
            if secret is not None:
                self._check_read(environ)
        return _NOBODY if secret is None else self._user_of(secret)

    def _check_read(self, environ: Mapping[str, Any]) -> None:
        """Refuse a read whose user no page has proved, if it is for another site's page.  Raises Problem (403).

        A change was checked before (`chat/app.py`).  Only browsers send these headers.
        """
        is_browser = "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ
        if is_browser and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            check_read(environ, self._replica.status)

    def authenticate_admin(self, environ: Mapping[str, Any]) -> Actor | None:
        """Authenticate for a change of the whole cluster: a user's token counts in the open mode too."""
        secret = _bearer(environ.get("HTTP_AUTHORIZATION", ""))
        if secret is None or secret.startswith(secrets.OPERATOR) or not self._is_open():
            return self.authenticate(environ)
        return self._user_of(secret)

    def check_scraper(self, environ: Mapping[str, Any]) -> None:
        """Raise Problem (401, 403) unless the request has the metrics token, the operator's or an admin's.

        By this node's state alone: a node without a majority shows its metrics too.
        """
        secret = _bearer(environ.get("HTTP_AUTHORIZATION", "")) or ""
        if self._scraper and compare_digest(secret.encode("utf-8", "surrogatepass"), self._scraper):
            return
        actor = self.authenticate_admin(environ)
        if actor is None:
            raise refused()
        found = self._state.ask(lambda tables: permissions.administering(tables, actor)) if actor.by else LOGIN_NEEDED
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)

    def charge_unknown_token(self, environ: Mapping[str, Any]) -> None:
        """Charge the address for an unknown token, which costs a read of the cluster's newest state.

        Raises Problem (429).  A proxy's user costs nothing: the proxy has authenticated them.
        """
        if is_of_proxy_user(environ):
            return
        wait_s = self._unknown_tokens.take(network(_address(environ)))
        if wait_s:
            raise too_many("too_many_attempts", "too many unknown tokens", wait_s)

    def refund_unknown_token(self, environ: Mapping[str, Any]) -> None:
        """Give back the charge: the newest state knows the token."""
        if is_of_proxy_user(environ):
            return
        self._unknown_tokens.refund(network(_address(environ)))

    def make_known(self, environ: Mapping[str, Any], done: Callable[[RaftError | Problem | None], None]) -> None:
        """Do what is needed to know the user that `authenticate` does not know here yet.  Never blocks.

        That is to read the cluster's newest state, or to sign in a proxy's user.  `done` gets the reason if it failed.
        """
        if self._sign_in is None or not is_of_proxy_user(environ):
            self._replica.read(done)
            return
        try:
            found = self._proxy_session(environ)
        except Problem as refusal:
            done(refusal)
            return
        if isinstance(found, ProxyUser):
            self._sign_in(found, done)
        else:
            self._replica.read(done)

    def check_started(self) -> None:
        """Raise Problem (503) if this node was started with `--auth login` and the cluster has not agreed on it yet."""
        if self._needs_login and self._is_open():
            detail = "this node was started with --auth login, and the cluster does not have that mode yet"
            raise problem("starting", detail, retry_after_s=1)

    def hides_from_strangers(self) -> bool:
        """Return whether requests without credentials get no more than health; True until the mode is known."""
        return not self.knows_mode() or not self._is_open()

    def knows_mode(self) -> bool:
        """Return whether the state has the cluster's mode; if not, ask for it.

        Until then a state that says "open" proves nothing: sign-in may be on since, and rooms private.
        """
        if not self._knows_mode and not self._is_asking:
            self._is_asking = True
            self._replica.read(self._mode_read)
        return self._knows_mode

    def note_mode(self) -> None:
        """Note that a read was confirmed, so the state has the cluster's mode."""
        self._knows_mode = True

    def _mode_read(self, error: RaftError | None) -> None:
        self._knows_mode = self._knows_mode or error is None
        self._is_asking = False

    def charge(self, environ: Mapping[str, Any]) -> None:
        """Charge the address for a guess at a secret that names no account.  Raises Problem (429)."""
        self._guesses.charge(_address(environ))

    def refund(self, environ: Mapping[str, Any]) -> None:
        """Give back the charge: the guess was right."""
        self._guesses.refund(_address(environ))

    def admit_post(self, actor: Actor) -> None:
        """Count a post of this token; posts in the open mode are not counted.  Raises Problem (429)."""
        if actor.by <= 0:
            return
        wait_s = self._changes.take(str(actor.by))
        if wait_s:
            raise too_many("too_many_posts", "too many posts at once", wait_s)
        # A websocket may post for days after it was authenticated.
        self._token_activity.note(actor.by, self._time_or_0() // HOUR)

    def admit_change(self, actor: Actor, environ: Mapping[str, Any]) -> None:
        """Count a change that is no post, by its token or else its address.

        Raises Problem (429).  The operator's changes are not counted.
        """
        if actor.by == OPERATOR:
            return
        if actor.by > 0:
            wait_s = self._changes.take(str(actor.by))
        else:
            wait_s = self._open_changes.take(network(_address(environ)))
        if wait_s:
            raise too_many("too_many_changes", "too many changes at once", wait_s)

    def verify_password(self, environ: Mapping[str, Any], name: str, password: str) -> int:
        """Verify a user's password, and return the log index that set it.  Blocks while it computes.

        An unknown user takes as long.  Raises Problem: 401 for a wrong password, 429 after too many attempts, 503 if
        too many passwords are being checked.
        """
        address = _address(environ)
        self._guesses.charge(address, name)
        password_hash, at = self._state.ask(lambda tables: _password(tables, name))
        try:
            is_right = self.passwords.matches(password_hash, password, network(address))
        except Problem:  # it was not looked at
            self._guesses.refund(address, name)
            raise
        if not is_right:
            raise problem_of_refusal(BAD_LOGIN)
        self._guesses.refund(address, name)
        wait_s = self._sign_ins.take(name)
        if wait_s:
            raise too_many("too_many_attempts", "this account has signed in too often", wait_s)
        return at

    def hash(self, environ: Mapping[str, Any], password: str) -> str:
        """Hash a new password; blocks as `verify_password` does.  Raises Problem (503)."""
        return self.passwords.hash(password, network(_address(environ)))

    def check_setup(self, environ: Mapping[str, Any], secret: str) -> None:
        """Check the secret that makes the first user.  Raises Problem (401, 429)."""
        self.charge(environ)
        if not compare_digest(secret.encode("utf-8", "surrogatepass"), self._setup):
            raise problem_of_refusal(_BAD_SETUP)
        self.refund(environ)

    def now(self) -> int:
        """The log's time in microseconds since 1970.  Raises Problem (503) where it is not known."""
        try:
            return self._clock()
        except RaftError as error:
            raise problem_of(error) from None

    def expiry(self, seconds: int) -> int:
        """The expiry time of a credential made now, in microseconds since 1970; 0 seconds: never.  Raises as `now`."""
        return self.now() + seconds * 1_000_000 if seconds else 0

    def cookie(self, environ: Mapping[str, Any], secret: str, seconds: int) -> tuple[str, str]:
        """The header that makes a browser keep a token; 0 seconds: drop it."""
        name, is_secure = cookies.name(self._replica.cluster_id), is_over_tls(environ)
        return "Set-Cookie", cookies.setting(name, secret, seconds, is_secure=is_secure)

    def _time_or_0(self) -> int:
        """0 where the time is not known: then nothing is refused as too old, and the leader ends what is."""
        try:
            return self._clock()
        except Unavailable:
            return 0

    def _is_open(self) -> bool:
        return not self._state.guarded or self._state.ask(lambda tables: tables.settings.auth == OPEN)

    def _cookies(self, environ: Mapping[str, Any]) -> set[str]:
        header = environ.get("HTTP_COOKIE")
        return cookies.values(header, cookies.name(self._replica.cluster_id)) if header else set()

    def _cookie(self, environ: Mapping[str, Any]) -> str | None:
        found = self._cookies(environ)
        if len(found) > 1:  # one of them may be planted, and which one counts would be the browser's choice
            raise problem_of_refusal(_TWO_COOKIES)
        return found.pop() if found else None

    def _actor_of_proxy_user(self, environ: Mapping[str, Any]) -> Actor | None:
        """The user whom the proxy names; None if they have to be signed in.  Raises Problem (403)."""
        found = self._proxy_session(environ)
        if isinstance(found, ProxyUser):
            return None
        self._note_activity(found, self._time_or_0())
        return Actor(found.number, found.user)

    def _proxy_session(self, environ: Mapping[str, Any]) -> ProxyUser | Token:
        user, now, found = named(environ), self._time_or_0(), self._cookies(environ)
        digest = secrets.digest(found.pop()) if len(found) == 1 else None
        return self._state.ask(lambda tables: session_of(tables, user, digest, now))

    def _user_of(self, secret: str) -> Actor | None:
        if not _TOKEN.fullmatch(secret):
            raise refused()
        digest = secrets.digest(secret)
        token = self._state.ask(lambda tables: _token(tables, digest))
        if token is None:
            return None
        now = self._time_or_0()
        if 0 < token.expires_at <= now:
            raise problem_of_refusal(_EXPIRED)
        if token.kind == PROXY:
            raise problem_of_refusal(_WITHOUT_PROXY)
        self._note_activity(token, now)
        return Actor(token.number, token.user)

    def _note_activity(self, token: Token, now: int) -> None:
        if token.used_hour < now // HOUR:
            self._token_activity.note(token.number, now // HOUR)


def is_operators(environ: Mapping[str, Any], actor: Actor | None) -> bool:
    """Return whether a request may use what is reserved for the operator: it is theirs, or comes from this machine.

    A proxy on this machine may name no client, so what comes from a proxy does not count as this machine's.
    """
    return (actor is not None and actor.by == OPERATOR) or bool(environ.get("raft_chat.from_this_machine"))


def refused() -> Problem:
    """401: a token that is none."""
    return problem_of_refusal(BAD_TOKEN)


def _bearer(header: str) -> str | None:
    """The token in an Authorization header; None where that has another scheme, which is some proxy's business."""
    scheme, _, secret = header.partition(" ")
    return secret.strip(" ") if scheme.lower() == "bearer" else None


def _password(tables: Tables, name: str) -> tuple[str, int]:
    """The hash of a user's password, and the log index that set it."""
    user = tables.users.get(name)
    return (user.password_hash, user.password_index) if user is not None and user.active else ("", 0)


def _token(tables: Tables, digest: bytes) -> Token | None:
    number = tables.numbers.get(digest)
    return None if number is None else tables.tokens[number]


def _address(environ: Mapping[str, Any]) -> str:
    """The address of the connection, or the one that a trusted proxy gave."""
    address: str = environ.get("REMOTE_ADDR", "")
    return address
