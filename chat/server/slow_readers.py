"""Bound the memory that waits for slow clients: one bound over all of it, and a share for each network and user.

Whole answers that do not fit in their socket (`send_queue.py`) and answers that are streamed piece by piece both count
here, by the bytes that they hold.

Rules
- While there is room, anybody may have it.  When there is none, an answer of the network or user that is furthest above
  its share is evicted: the one that has waited longest.  If nobody is above a share, or only the newcomer's own network
  or user is, the newcomer is refused.
- An answer whose client takes less than RATE_MIN over RATE_WINDOW_S is given up.  Only the time counts in which bytes
  wait: a stream with nothing to send is not slow.
- The lock is held for a few steps, never while anything is sent or cut.
"""

import fcntl
import socket
import sys
import termios
from collections import Counter
from collections.abc import Callable
from threading import Lock
from time import monotonic
from typing import Final

from chat.server.limits import KIB

RATE_MIN: Final = 8 * KIB  # bytes a second; a line of 20 KB/s passes, however its bytes clump together
RATE_WINDOW_S: Final = 15.0  # a receiver's window may open by 64 KiB at a time: that is 3 s of such a line
STREAM_BYTES: Final = 64 * KIB  # what an answer that is streamed holds beside its piece: a thread, the piece's parts
NETWORK_SHARE: Final = 4  # a quarter of the bound
USER_SHARE: Final = 8


class UnsentResponse:
    """An answer that waits for its client."""

    __slots__ = ("cut", "held", "network", "user")

    def __init__(self, network: str, user: str, cut: Callable[[], None]) -> None:
        """`network` and `user`: "" for one that is not counted.  `cut` ends the connection; from any thread."""
        self.network = network
        self.user = user
        self.cut = cut
        self.held = 0  # bytes; under the lock


class LargeBody(UnsentResponse):
    """The large body of a request that is received or worked on: counted in the same way, by bytes of its own."""

    __slots__ = ()


class SlowReaders:
    """The answers of one server that wait for their clients.  For any thread."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = Lock()
        self._bytes = 0
        self._waiting: dict[UnsentResponse, None] = {}  # by age
        self._by_network: Counter[str] = Counter()
        self._by_user: Counter[str] = Counter()
        self.cuts = 0  # answers that were given up; for the log

    def reserve(self, waiting: UnsentResponse, size: int) -> bool:
        """Reserve `size` bytes more for this answer.  False: there is no room, and the answer is to end."""
        with self._lock:
            if self._bytes + size <= self._bytes_max:
                self._add(waiting, size)
                return True
            gone = self._make_room(waiting, size)
            has_room = self._bytes + size <= self._bytes_max
            if has_room:
                self._add(waiting, size)
            else:
                self.cuts += 1
        for other in gone:
            other.cut()
        return has_room

    def release(self, waiting: UnsentResponse) -> None:
        """Release all bytes of this answer."""
        with self._lock:
            self._remove(waiting)

    def note_cut(self) -> None:
        """Count an answer that was cut because its client is too slow."""
        with self._lock:
            self.cuts += 1

    def _add(self, waiting: UnsentResponse, size: int) -> None:
        waiting.held += size
        self._waiting[waiting] = None
        self._bytes += size
        self._by_network[waiting.network] += size
        self._by_user[waiting.user] += size

    def _remove(self, waiting: UnsentResponse) -> None:
        if self._waiting.pop(waiting, self) is self:
            return
        self._bytes -= waiting.held
        for held, key in ((self._by_network, waiting.network), (self._by_user, waiting.user)):
            held[key] -= waiting.held
            if not held[key]:
                del held[key]
        waiting.held = 0

    def _make_room(self, newcomer: UnsentResponse, size: int) -> list[UnsentResponse]:
        """Evict answers of those that hold more than their share, as long as the newcomer does not."""
        gone: list[UnsentResponse] = []
        while self._bytes + size > self._bytes_max:
            worst = self._worst(newcomer, size)
            if worst is None:
                break
            self._remove(worst)
            self.cuts += 1
            gone.append(worst)
        return gone

    def _worst(self, newcomer: UnsentResponse, size: int) -> UnsentResponse | None:
        """The answer to evict; None: the newcomer itself is refused."""
        shares = (
            (self._by_network, self._bytes_max // NETWORK_SHARE, newcomer.network),
            (self._by_user, self._bytes_max // USER_SHARE, newcomer.user),
        )
        most, by_user, worst = 0, False, ""
        for of_users, (held, share, own) in enumerate(shares):
            for name in {*held, own} - {""}:
                excess = held[name] + size * (name == own) - share
                if excess > most:
                    most, by_user, worst = excess, bool(of_users), name
        if not worst or worst == (newcomer.user if by_user else newcomer.network):
            return None
        return next(each for each in self._waiting if (each.user if by_user else each.network) == worst)


class Progress:
    """The speed at which a client takes the bytes that wait for it.  For one thread."""

    __slots__ = ("_began_s", "_taken", "_waited_s")

    def __init__(self) -> None:
        self._began_s = 0.0  # of this wait
        self._waited_s = 0.0  # without a look at the rate
        self._taken = 0  # bytes that the client had taken at that look

    def begin(self) -> None:
        """Begin to count time: bytes wait for the client from now on."""
        self._began_s = monotonic()

    def is_too_slow(self, connected: socket.socket, sent: int) -> bool:
        """Return True if the client is too slow; `sent`: the bytes that the kernel has taken so far."""
        now = monotonic()
        self._waited_s += now - self._began_s
        self._began_s = now
        if self._waited_s < RATE_WINDOW_S:
            return False
        taken = sent - unsent_bytes(connected)
        slow = taken - self._taken < RATE_MIN * self._waited_s
        self._taken, self._waited_s = taken, 0.0
        return slow


def unsent_bytes(connected: socket.socket) -> int:
    """Return how much of what the kernel has been given the client has not; 0 where the system does not tell."""
    try:
        return int.from_bytes(fcntl.ioctl(connected.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0
