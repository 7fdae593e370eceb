"""The proposals of this member's clients that are not answered yet, and what is known of their outcome.

503 and 504 rest on one rule: a proposal is *handed over* before it is given to a log or to another member, and from
then on its outcome is unknown until it is applied here.  A proposal that was never handed over was not proposed.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from raft.core.raft_messages import ProposalId
from raft.errors import DiskFull, OutcomeUnknown, RaftError, Unavailable

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
        self._sequence = 0  # of the newest proposal
        self._waiting: dict[int, PendingProposal] = {}  # by sequence, which is also the order of time
        self._bytes = 0
        self._failed = {"unavailable": 0, "unknown": 0, "disk_full": 0}  # by outcome
        self._not_admitted = {"unavailable": 0, "disk_full": 0}

    def admit(self, command: bytes, done: Done, now_s: float) -> PendingProposal:
        """Register a new proposal.  Raises Unavailable if too much waits already."""
        with self._lock:
            if len(self._waiting) >= WAITING_MAX or self._bytes + len(command) > WAITING_BYTES_MAX:
                raise Unavailable("too many messages wait to be committed; nothing was changed")
            self._sequence += 1
            waiting = PendingProposal(self._sequence, command, done, now_s)
            self._waiting[waiting.sequence] = waiting
            self._bytes += len(command)
        return waiting

    @property
    def are_waiting(self) -> bool:
        """Return whether any is unanswered.  Takes no lock."""
        return bool(self._waiting)

    def not_admitted(self, error: RaftError) -> None:
        """Note a proposal that was refused before it was registered."""
        with self._lock:
            self._not_admitted[_outcome_of(error)] += 1

    def outcomes(self) -> dict[str, int]:
        """Return how many proposals have ended, by outcome.

        The committed ones are those that did not end otherwise: nothing is counted for each.
        """
        with self._lock:
            committed = self._sequence - len(self._waiting) - sum(self._failed.values())
            failed = {name: count + self._not_admitted.get(name, 0) for name, count in self._failed.items()}
        return {"committed": committed, **failed}

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
            if not waiting.handed_over and self._fail(waiting, _outcome_of(error)):
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
            if not self._fail(waiting, ""):
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

    def _fail(self, waiting: PendingProposal, outcome: str) -> bool:
        """Take out a proposal that ends with this outcome; "": its time is over.  False: it has ended already."""
        with self._lock:
            if self._waiting.pop(waiting.sequence, None) is None:
                return False
            self._bytes -= len(waiting.command)
            self._failed[outcome or ("unknown" if waiting.handed_over else "unavailable")] += 1
        return True


def _outcome_of(error: RaftError) -> str:
    return "disk_full" if isinstance(error, DiskFull) else "unavailable"
