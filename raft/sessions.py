"""Which proposals have been applied, so that a retried one is applied once (dissertation §6.3).

Replicated state: a function of the log's entries alone, the same on every member.  Its memory is bounded by what
members have in flight, because each proposal says from where on its member still waits.
"""

from dataclasses import dataclass, field

from raft.messages import ProposalId

PRUNE_AT = 1_024  # answered sequences are dropped together: dropping each at once would cost a pass each


@dataclass(slots=True)
class _Session:
    boot: int
    lowest_unanswered: int = 0
    applied: set[int] = field(default_factory=set)


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
        session.applied.add(id.sequence)
        session.lowest_unanswered = max(session.lowest_unanswered, id.lowest_unanswered)
        if len(session.applied) >= PRUNE_AT:
            session.applied = {sequence for sequence in session.applied if sequence >= session.lowest_unanswered}
        return True
