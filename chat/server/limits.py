"""The bounds on what one client, and all of them together, may cost the server; each with its reason.

Deadlines are totals, not per read: a client that drips a byte a second is cut at the same moment as a mute one.
"""

import resource
from dataclasses import dataclass
from math import inf

KIB = 1024
MIB = 1024 * KIB


def descriptor_limit() -> float:
    """Return how many descriptors this process may have (RLIMIT_NOFILE)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return inf if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds.  The defaults suit the port of the clients; peers send larger bodies."""

    line_bytes: int = 8 * KIB  # the request line, or one header: a long URL and a fat cookie fit
    head_bytes: int = 32 * KIB  # all of the head
    headers: int = 100  # browsers send about 15, proxies add about 10
    body_bytes: int = 128 * KIB  # one body, after its transfer coding is taken off
    large_bodies_bytes: int = 256 * MIB  # all bodies of over 16 KiB that are in memory at once
    send_queue_bytes: int = 64 * MIB  # all answers that wait for slow readers
    connections: int = 4096  # 3,000 clients that come back at once must fit
    spare_descriptors: int = 64  # below RLIMIT_NOFILE: for the log's files, the peers, the other port
    operator_spare: int = 0  # connections from this machine itself beyond all these: for the operator's tools
    stranger_s: float = inf  # for a client to become known (raft_chat.set_limits); strangers give way to all others
    head_deadline_s: float = 10.0  # from a head's first byte to its last; also a fresh connection's first byte, and TLS
    body_deadline_s: float = 30.0  # from the head's end to the body's
    idle_s: float = 75.0  # between two requests: longer than the minute that proxies commonly keep theirs
    answer_s: float = 60.0  # from the application's promise to its deferred answer
    write_deadline_s: float = 30.0  # for a client to take an answer ...
    write_bytes_s: int = 4 * KIB  # ... and a second more for each of these: a slow line is no attack, a stopped one is
    linger_s: float = 2.0  # after a last answer, for the client to close first (RFC 9112 §9.6)

    @property
    def sweep_s(self) -> float:
        """The interval between two looks at the deadlines: they are late by a quarter at most, and by a second."""
        shortest = min(
            self.head_deadline_s,
            self.body_deadline_s,
            self.idle_s,
            self.answer_s,
            self.write_deadline_s,
            self.linger_s,
        )
        return min(1.0, shortest / 4)

    def write_allowance_s(self, length: int) -> float:
        """The time a client has to take `length` bytes."""
        return self.write_deadline_s + length / self.write_bytes_s
