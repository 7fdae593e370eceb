"""The proposals of this member's clients that are not answered yet, and what is known of their outcome.

503 and 504 rest on one rule: a proposal is *handed over* before it is given to a log or to another member, and from
then on its outcome is unknown until it is applied here.  A proposal that was never handed over was not proposed.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from raft.core.raft_messages import ProposalId
from raft.errors import OutcomeUnknown, RaftError, Unavailable

WAITING_MAX = 8_192  # proposals
WAITING_BYTES_MAX = 64 << 20
UNPROPOSED_TIMEOUT_S = 4.0  # then 503, which clients are promised within 5 s
HANDED_OVER_TIMEOUT_S = 4.8  # then 504

Done = Callable[[object], None]


@dataclass(slots=True)
class PendingProposal:
    """An unanswered proposal; `done` gets its result."""

    sequence: int
    command: bytes
    done: Done
    since_s: float
    handed_over: int = 0  # how often, without refused tries: two threads may try, and only one succeed


def now() -> int:
    """Return this machine's time in microseconds since 1970, as entries are stamped."""
    return time.time_ns() // 1000


class Proposals:
    """The unanswered proposals.  Thread-safe; `done` callbacks are never called under its lock."""

    def __init__(self, member: int, boot: int) -> None:
        self._member = member
        self._boot = boot
        self._lock = threading.Lock()
        self._sequences = itertools.count(1)
        self._waiting: dict[int, PendingProposal] = {}  # by sequence, which is also the order of time
        self._bytes = 0

    def admit(self, command: bytes, done: Done, now_s: float) -> PendingProposal:
        """Register a new proposal.  Raises Unavailable if too much waits already."""
        with self._lock:
            if len(self._waiting) >= WAITING_MAX or self._bytes + len(command) > WAITING_BYTES_MAX:
                raise Unavailable("too many messages wait to be committed; nothing was changed")
            waiting = PendingProposal(next(self._sequences), command, done, now_s)
            self._waiting[waiting.sequence] = waiting
            self._bytes += len(command)
        return waiting

    def hand_over(self, batch: Iterable[PendingProposal]) -> list[tuple[ProposalId, bytes]]:
        """Mark those of `batch` that still wait, and return their ids; from now on their outcome is unknown."""
        with self._lock:
            lowest = next(iter(self._waiting), 0)
            chosen = [waiting for waiting in batch if waiting.sequence in self._waiting]
            for waiting in chosen:
                waiting.handed_over += 1
        return [(ProposalId(self._member, self._boot, w.sequence, w.sequence - lowest), w.command) for w in chosen]

    def undo_hand_over(self, batch: Iterable[PendingProposal]) -> None:
        """Undo one hand-over of `batch`, which was refused as a whole: it proposed nothing."""
        with self._lock:
            for waiting in batch:
                waiting.handed_over -= 1

    def refuse(self, batch: Iterable[PendingProposal], error: RaftError) -> None:
        """Answer those of `batch` with `error` that were never handed over: none of them was proposed."""
        for waiting in batch:
            if not waiting.handed_over and self._forget(waiting.sequence) is not None:
                waiting.done(error)

    def all(self) -> list[PendingProposal]:
        """Return all unanswered proposals, oldest first, for a new leader."""
        with self._lock:
            return list(self._waiting.values())

    def answered(self, id: ProposalId) -> Done | None:
        """Return the callback of the applied proposal `id`; None if another member made it, or it was answered."""
        if id.member != self._member or id.boot != self._boot:
            return None
        waiting = self._forget(id.sequence)
        return waiting.done if waiting else None

    def expire(self, now_s: float) -> None:
        """Answer proposals that have waited too long."""
        for waiting in self._overdue(now_s):
            if self._forget(waiting.sequence) is None:
                continue  # applied just now
            if waiting.handed_over:
                waiting.done(OutcomeUnknown("no majority confirmed the change in time; it may still be committed"))
            else:
                waiting.done(Unavailable("no leader with a majority can be reached; nothing was changed"))

    def _overdue(self, now_s: float) -> list[PendingProposal]:
        overdue = []
        with self._lock:
            for waiting in self._waiting.values():
                age_s = now_s - waiting.since_s
                if age_s < UNPROPOSED_TIMEOUT_S:
                    break  # the rest is younger
                if age_s >= HANDED_OVER_TIMEOUT_S or not waiting.handed_over:
                    overdue.append(waiting)
        return overdue

    def _forget(self, sequence: int) -> PendingProposal | None:
        with self._lock:
            waiting = self._waiting.pop(sequence, None)
            if waiting is not None:
                self._bytes -= len(waiting.command)
        return waiting
