"""Which proposals have been applied, so that a retried one is applied once (dissertation §6.3).

Replicated state: a function of the log's entries alone, the same on every member.  Its memory is bounded by what
members have in flight, because each proposal says from where on its member still waits.
"""

from dataclasses import dataclass, field

from raft.core.raft_messages import ProposalId
from raft.errors import InvalidMessage

REMEMBERED_MAX = 1 << 24  # sequences of one member in a document: far above what one can have waiting
PRUNE_AT = 1_024  # the least number of remembered sequences at which it is looked for those that may go


@dataclass(slots=True)
class _Session:
    boot: int
    lowest_unanswered: int = 0
    applied: set[int] = field(default_factory=set)
    prune_at: int = PRUNE_AT

    def remember(self, id: ProposalId) -> None:
        """`id` is applied.  What may go goes when the memory has doubled: the pass costs each proposal its share only,
        also where one that stays unanswered holds up all that came after it.
        """
        self.applied.add(id.sequence)
        self.lowest_unanswered = max(self.lowest_unanswered, id.sequence - id.reach)
        if len(self.applied) >= self.prune_at:
            self.applied = {sequence for sequence in self.applied if sequence >= self.lowest_unanswered}
            self.prune_at = max(PRUNE_AT, 2 * len(self.applied))


class Sessions:
    """One session a member: that of its newest boot."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}

    def admit(self, id: ProposalId) -> bool:
        """Whether `id` is to be applied: True once, the first time.

        What an earlier boot of the member left behind is refused: nobody waits for it any more, and after the
        process has died its memory is gone, so it could not be told from a repetition.
        """
        session = self._sessions.get(id.member)
        if session is None or id.boot > session.boot:
            session = self._sessions[id.member] = _Session(id.boot)
        if id.boot < session.boot or id.sequence < session.lowest_unanswered or id.sequence in session.applied:
            return False
        session.remember(id)
        return True

    def document(self) -> list[list[object]]:
        """For JSON: [member, boot, lowest unanswered, runs [first, last] of the sequences applied from there on]."""
        return [
            [member, session.boot, session.lowest_unanswered, _runs(session)]
            for member, session in sorted(self._sessions.items())
        ]

    @classmethod
    def restored(cls, document: object) -> "Sessions":
        """The memory that `document` tells of.  Raises InvalidMessage."""
        sessions = cls()
        try:
            for member, boot, lowest, runs in document:  # type: ignore[attr-defined]
                if not all(type(number) is int and number >= 0 for number in (member, boot, lowest)):
                    raise ValueError("a number that is none")
                if sum(last + 1 - first for first, last in runs) > REMEMBERED_MAX:
                    raise ValueError("more than a member can have in flight")
                applied = {sequence for first, last in runs for sequence in range(first, last + 1)}
                session = _Session(boot, lowest, applied, max(PRUNE_AT, 2 * len(applied)))
                sessions._sessions[member] = session
        except (TypeError, ValueError) as error:
            raise InvalidMessage(f"sessions that cannot be read: {error}") from None
        return sessions


def _runs(session: _Session) -> list[list[int]]:
    """What is remembered and may still be asked for: the rest is refused by `lowest_unanswered` alone."""
    runs: list[list[int]] = []
    for sequence in sorted(session.applied):
        if sequence < session.lowest_unanswered:
            continue
        if runs and runs[-1][1] == sequence - 1:
            runs[-1][1] = sequence
        else:
            runs.append([sequence, sequence])
    return runs
