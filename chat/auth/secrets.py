"""Passwords, and the secrets that stand for them: nearly all of the chat's randomness.

Rules.  A password leaves here as its hash only, and a secret as its digest: what is proposed, logged or kept is one of
these two.  Both are made and checked at the edge; `apply` only compares what commands carry.
Hashing a password is slow on purpose.  It lets go of the interpreter's lock but not of its core, so AT_ONCE of them
run at a time and WAITING_MAX more wait; whoever calls holds no lock and no CPU slot of the server meanwhile.
Next is the network of which fewest run, and when no more may wait, the network with most of them gives way: whoever
asks for hundreds at once makes nobody else wait for more than the one that runs.
"""

from base64 import b32encode
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from secrets import token_bytes, token_hex, token_urlsafe
from threading import Condition

from werkzeug.security import check_password_hash, gen_salt, generate_password_hash

from chat.errors import Problem, unavailable
from chat.server.networks import network_to_evict

# RFC 7914 §2: N = 32768, r = 8, p = 3: 32 MB, and 0.3 s of a core that has nothing else to do.
METHOD = "scrypt:32768:8:3"
AT_ONCE = 2  # a third would take the core that heartbeats need
WAITING_MAX = 16  # the last of them waits for about three seconds
RETRY_AFTER_S = 3

# The kind of a secret is its prefix, for people and for programs that look for leaked ones.
TOKEN, TICKET, INVITE, OPERATOR, SETUP = "rc_", "rt_", "ri_", "op_", "su_"
SECRET_BYTES = 32
DIGEST_BYTES = 32


class Passwords:
    """Hash passwords and compare them with hashes.  Any thread; blocks while it waits and computes."""

    def __init__(self, method: str = METHOD) -> None:
        """`method` as werkzeug.security has it: a quicker one only in tests."""
        self._method = method
        self._turns = _Turns()
        # Of no password: nothing is hashed to random bytes, and trying to takes as long as any other comparison.
        self._nobodys = f"{method}${gen_salt(16)}${token_hex(64)}"

    def hash(self, password: str, network: str = "") -> str:
        """Hash a password, with its method and salt, for a client of this network.

        Raises Problem (503) where too many wait already.
        """
        with self._turns.turn(network):
            return generate_password_hash(password, self._method)

    def matches(self, password_hash: str, password: str, network: str = "") -> bool:
        """Return whether this is the password.  "" is the hash of nobody, and takes as long as any other.

        Raises Problem (503) where too many wait already.
        """
        with self._turns.turn(network):
            return check_password_hash(password_hash or self._nobodys, password)


class _Waiting:
    """A thread that waits for a turn."""

    def __init__(self, network: str) -> None:
        self.network = network
        self.gave_way = False


class _Turns:
    """AT_ONCE at a time; any thread."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: list[_Waiting] = []  # in the order they came
        self._running: Counter[str] = Counter()  # by network

    @contextmanager
    def turn(self, network: str) -> Iterator[None]:
        """Wait for a turn, and have it.  Raises Problem (503)."""
        self._wait(_Waiting(network))
        try:
            yield
        finally:
            with self._changed:
                self._running[network] -= 1
                self._running += Counter()  # forgets who has none
                self._changed.notify_all()

    def _wait(self, own: _Waiting) -> None:
        with self._changed:
            self._make_room(own.network)
            self._waiting.append(own)
            self._changed.wait_for(lambda: own.gave_way or self._is_next(own))
            self._changed.notify_all()  # another one may be next now
            if own.gave_way:
                raise _too_many()
            self._waiting.remove(own)
            self._running[own.network] += 1

    def _is_next(self, own: _Waiting) -> bool:
        if self._running.total() >= AT_ONCE:
            return False
        return own is min(self._waiting, key=lambda waiting: self._running[waiting.network])  # of equals the oldest

    def _make_room(self, network: str) -> None:
        if len(self._waiting) + self._running.total() < AT_ONCE + WAITING_MAX:
            return
        held = self._running + Counter(waiting.network for waiting in self._waiting)
        largest = network_to_evict(held, network)
        newest = next((waiting for waiting in reversed(self._waiting) if waiting.network == largest), None)
        if newest is None:
            raise _too_many()
        newest.gave_way = True
        self._waiting.remove(newest)
        self._changed.notify_all()


def _too_many() -> Problem:
    return unavailable("too many passwords are being checked at this moment; try again", RETRY_AFTER_S)


def new_secret(kind: str) -> str:
    """A secret of 256 random bits: `kind`, which is one of those above, and 43 characters of base64url."""
    return kind + token_urlsafe(SECRET_BYTES)


def room_letters() -> str:
    """Ten letters of a-z2-7, 50 random bits, for the end of a private room's name."""
    return b32encode(token_bytes(7))[:10].decode().lower()


def digest(secret: str) -> bytes:
    """The digest of a secret, which is stored instead of it: SHA-256.

    Nobody guesses 256 random bits, so it needs no salt and no scrypt.
    """
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
