"""The digest of the state at a log index, and the copy of the state that waits to be hashed.

A copy is taken by the thread that applies, at the moment when exactly the entries up to that index are applied.  It
takes milliseconds; the hashing is done by another thread, in small steps.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

TOLD_MAX = 4  # digests that a member tells: the newest, which are those of 12 minutes, or of 40 seconds in doubt
_FORM = re.compile(r"([0-9.]{1,16})@([0-9]{1,15})=([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StateDigest:
    """The digest of the state at log index `index`.  Only digests of one format and one index are comparable."""

    format: str
    index: int
    value: str  # 32 hex digits of a SHA-256

    def __str__(self) -> str:
        return f"{self.format}@{self.index}={self.value}"


def encode_digests(digests: Iterable[StateDigest]) -> str:
    """Encode for a report (raft/cluster/member_reports.py)."""
    return " ".join(map(str, digests))


def decode_digests(text: str) -> list[StateDigest]:
    """Return the digests in a report's text; what is none is left out."""
    found = [_FORM.fullmatch(word) for word in text.split(" ", TOLD_MAX)[:TOLD_MAX]]
    return [StateDigest(match[1], int(match[2]), match[3]) for match in found if match]


@dataclass(frozen=True, slots=True)
class StateCopy:
    """The state at log index `index`, in pieces that are made as they are asked for."""

    format: str
    index: int
    pieces: Iterator[bytes]

    def hash(self) -> Iterator[StateDigest | None]:
        """Hash the pieces, one a step; the last step gives the digest, the others None."""
        hashed = sha256()
        for piece in self.pieces:
            hashed.update(piece)
            yield None
        yield StateDigest(self.format, self.index, hashed.hexdigest()[:32])


class StateCopies:
    """The newest copy of the state that waits to be hashed: an older one gives way to it.  Thread-safe."""

    def __init__(self) -> None:
        self.in_doubt = False  # some member's state is: copies are taken at the points of short periods too
        self.is_alone = False  # nobody is there to compare with: no copy is taken
        self._changed = threading.Condition()
        self._waiting: StateCopy | None = None
        self._is_closed = False

    def wants(self, *, is_coarse: bool) -> bool:
        """Return whether a copy is wanted at a point, of a long period or not."""
        return not self.is_alone and (is_coarse or self.in_doubt)

    def put(self, format: str, index: int, pieces: Iterator[bytes]) -> None:
        """Let this copy be hashed; never blocks."""
        with self._changed:
            self._waiting = StateCopy(format, index, pieces)
            self._changed.notify_all()

    def take(self, timeout_s: float) -> StateCopy | None:
        """Take the copy that waits, or comes in this time."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._is_closed, timeout_s)
            copy, self._waiting = self._waiting, None
            return copy

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
