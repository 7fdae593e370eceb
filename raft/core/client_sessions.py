"""Sessions: the proposals applied so far, so that a retried one is applied once (dissertation §6.3).

Replicated state: a function of the log's entries alone, the same on every member.  Its size is bounded by what members
have in flight, because each proposal names the oldest one that its member still waits for.
"""

from dataclasses import dataclass, field

from raft.core.raft_messages import ProposalId
from raft.errors import InvalidMessage

REMEMBERED_MAX = 1 << 24  # sequences of one member in a document; no member has nearly as many unanswered
PRUNE_AT = 1_024  # remembered sequences of a member before the first search for those to forget


@dataclass(slots=True)
class _Session:
    boot: int
    lowest_unanswered: int = 0
    applied: set[int] = field(default_factory=set)
    prune_at: int = PRUNE_AT

    def remember(self, id: ProposalId) -> None:
        """Note that `id` is applied.

        Answered sequences are forgotten when the number of sequences has doubled since the last time.  So forgetting
        costs each proposal a fixed share, even if one unanswered proposal keeps all later ones from being forgotten.
        """
        self.applied.add(id.sequence)
        self.lowest_unanswered = max(self.lowest_unanswered, id.sequence - id.reach)
        if len(self.applied) >= self.prune_at:
            self.applied = {sequence for sequence in self.applied if sequence >= self.lowest_unanswered}
            self.prune_at = max(PRUNE_AT, 2 * len(self.applied))


class Sessions:
    """The session of each member: that of its newest boot."""

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}

    def admit(self, id: ProposalId) -> bool:
        """Return whether to apply `id`: True once, the first time.

        A proposal of an earlier boot is refused.  Nobody waits for it any more, and after the process has died it could
        not be told from a repetition.
        """
        session = self._sessions.get(id.member)
        if session is None or id.boot > session.boot:
            session = self._sessions[id.member] = _Session(id.boot)
        if id.boot < session.boot or id.sequence < session.lowest_unanswered or id.sequence in session.applied:
            return False
        session.remember(id)
        return True

    def document(self) -> list[list[object]]:
        """Return for JSON: [member, boot, lowest unanswered, runs [first, last] of what was applied from there on]."""
        return [
            [member, session.boot, session.lowest_unanswered, _runs(session)]
            for member, session in sorted(self._sessions.items())
        ]

    @classmethod
    def restored(cls, document: object) -> "Sessions":
        """Return the sessions in `document`.  Raises InvalidMessage."""
        sessions = cls()
        try:
            for member, boot, lowest, runs in document:  # type: ignore[attr-defined]
                if not all(type(number) is int and number >= 0 for number in (member, boot, lowest)):
                    raise ValueError("a number that is not valid")
                if sum(last + 1 - first for first, last in runs) > REMEMBERED_MAX:
                    raise ValueError("more than a member can have in flight")
                applied = {sequence for first, last in runs for sequence in range(first, last + 1)}
                session = _Session(boot, lowest, applied, max(PRUNE_AT, 2 * len(applied)))
                sessions._sessions[member] = session
        except (TypeError, ValueError) as error:
            raise InvalidMessage(f"sessions that cannot be read: {error}") from None
        return sessions


def _runs(session: _Session) -> list[list[int]]:
    """Return the remembered sequences that may still be retried; `lowest_unanswered` refuses the rest."""
    runs: list[list[int]] = []
    for sequence in sorted(session.applied):
        if sequence < session.lowest_unanswered:
            continue
        if runs and runs[-1][1] == sequence - 1:
            runs[-1][1] = sequence
        else:
            runs.append([sequence, sequence])
    return runs
