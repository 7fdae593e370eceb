"""Token buckets: how often somebody may do something, and how much of it at once.

A bucket holds up to `burst` and gets one more every `refill_s`.  What is kept of it is one number, the moment at which
it would be full: that is the generic cell rate algorithm (ITU-T I.371, annex A), which needs no tick.  A full bucket
says nothing and is not kept.

Rules.  In memory and of this node alone, so n nodes allow n times as much.  At most KEYS_MAX buckets: then the one
goes that was used longest ago, and so has been filled again furthest.  Clocks are handed in.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from math import ceil
from threading import Lock
from time import monotonic
from typing import NamedTuple

from chat.errors import Problem, problem
from chat.server.networks import network

_ROUNDING_S = 1e-6  # adding up a refill of 0.01 s is not exact
KEYS_MAX = 10_000  # about 2 MB: more than the addresses of a large company, and a botnet's would fill any table


class Rate(NamedTuple):
    """The refill time and the size of a bucket."""

    refill_s: float
    burst: int


# Wrong guesses: enough for a person who tries all their passwords, too few for a program.
ACCOUNT_GUESSES = Rate(refill_s=30.0, burst=10)  # of one account from one network
# Of one account from everywhere: so large that a stranger who uses up their network's does not lock the owner out.
SPREAD_GUESSES = Rate(refill_s=10.0, burst=200)
ADDRESS_GUESSES = Rate(refill_s=2.0, burst=30)  # an office may share one


class TokenBuckets:
    """Buckets of one kind, by key.  Any thread."""

    def __init__(self, rate: Rate, clock: Callable[[], float] = monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._lock = Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()  # the one used longest ago first

    def take(self, key: str) -> float:
        """0.0 where one could be taken, else the seconds until there will be one."""
        refill_s, burst = self._rate
        now = self._clock()
        with self._lock:
            full_at = max(self._full_at.get(key, now), now)
            wait_s = full_at - now - (burst - 1) * refill_s
            if wait_s > _ROUNDING_S:
                return wait_s
            self._full_at[key] = full_at + refill_s
            self._full_at.move_to_end(key)
            if len(self._full_at) > KEYS_MAX:
                self._full_at.popitem(last=False)
        return 0.0

    def refund(self, key: str) -> None:
        """Give one back."""
        with self._lock:
            full_at = self._full_at.pop(key, 0.0) - self._rate.refill_s
            if full_at > self._clock():
                self._full_at[key] = full_at


class GuessLimits:
    """Limits on guesses at passwords and secrets: buckets by network, by account and network, and by account.

    A network that has signed in to an account before is not charged by account alone: no botnet locks an owner out.

    A guess is charged before it is checked, so that many at once are not cheaper than many in a row, and refunded if it
    was right.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._accounts = TokenBuckets(ACCOUNT_GUESSES, clock)
        self._spread = TokenBuckets(SPREAD_GUESSES, clock)
        self._lock = Lock()
        self._signed_in: OrderedDict[str, None] = OrderedDict()  # accounts and networks, the one used longest ago first
        self._addresses = TokenBuckets(ADDRESS_GUESSES, clock)

    def charge(self, address: str, account: str | None = None) -> None:
        """Charge one guess from this address.  `account` None: at a secret that names no account.

        Raises Problem (429) with Retry-After; then nothing was charged.
        """
        buckets = self._buckets(address, account)
        for charged, (some, key) in enumerate(buckets):
            wait_s = some.take(key)
            if wait_s:
                _refund(buckets[:charged])
                raise too_many("too_many_attempts", "too many wrong attempts", wait_s)

    def refund(self, address: str, account: str | None = None) -> None:
        """Give back the charges of a right guess."""
        _refund(self._buckets(address, account))
        if account is not None:
            with self._lock:
                self._signed_in[_pair(account, address)] = None
                self._signed_in.move_to_end(_pair(account, address))
                if len(self._signed_in) > KEYS_MAX:
                    self._signed_in.popitem(last=False)

    def _buckets(self, address: str, account: str | None) -> list[tuple[TokenBuckets, str]]:
        buckets = [(self._addresses, network(address))]
        if account is None:
            return buckets
        # The account's last: a network that is out of guesses cannot lock others out of their accounts.
        buckets.append((self._accounts, _pair(account, address)))
        with self._lock:
            is_known = _pair(account, address) in self._signed_in
        return buckets if is_known else [*buckets, (self._spread, account)]


def too_many(code: str, detail: str, wait_s: float) -> Problem:
    """A Problem (429) with the seconds to wait."""
    return problem(code, detail, ceil(wait_s))


def _pair(account: str, address: str) -> str:
    return f"{network(address)} {account}"


def _refund(buckets: Iterable[tuple[TokenBuckets, str]]) -> None:
    for some, key in buckets:
        some.refund(key)
