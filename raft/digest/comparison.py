"""The comparison: which members' states differ, from the digests that members have told.

Rules
- Only digests of one format and one log index are compared.  So members that lag, start or join are never compared
  with what they have not applied.
- A member differs if a majority of the voters has told one digest, and this member another.  So at one index no more
  than a minority of the voters differs.
- A member that knows that its own state differs, and has not got another one yet, is not counted in a majority.  So
  whoever is set aside, a majority of the voters is not.
- For each member the newest index decides at which it could be compared with a majority.
- Where digests differ and no majority of the voters agrees (as with two members), nobody knows who is right.  That is
  reported, and nobody is set aside.

All members draw the same conclusions from the same digests.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from raft.digest.state_digest import StateDigest

REMEMBERED_MAX = 16  # digests of a member: those of 48 minutes, or of nearly three in doubt


class Findings(NamedTuple):
    """The conclusion from all digests that are known."""

    differing: dict[int, int]  # by member: the log index at which its state differs from a majority's
    agreeing: dict[int, int]  # by member: the log index at which its state is a majority's
    undecided: dict[int, int]  # by member: a newer index at which states differ, and no majority agrees


class Comparison:
    """The digests that members have told, this one included.  For one thread at a time."""

    def __init__(self) -> None:
        self._told: dict[int, dict[tuple[int, str], str]] = {}  # by member, then by (index, format)

    def note(self, member: int, digests: Collection[StateDigest]) -> None:
        """Remember what the member told.  At one index, what it told last counts: it may have got a new state."""
        known = self._told.setdefault(member, {})
        known.update({(digest.index, digest.format): digest.value for digest in digests})
        for key in sorted(known)[:-REMEMBERED_MAX]:
            del known[key]

    def forget(self, member: int) -> None:
        """Forget what the member told."""
        self._told.pop(member, None)

    def forget_all_but(self, members: Collection[int]) -> None:
        """Forget the digests of members that were removed."""
        for member in [member for member in self._told if member not in members]:
            del self._told[member]

    def find(self, is_majority: Callable[[Collection[int]], bool], doubted: Collection[int] = ()) -> Findings:
        """Compare.  `is_majority(members)`: a majority of the voters is among them; `doubted` are not counted."""
        findings = Findings({}, {}, {})
        keys = sorted({key for known in self._told.values() for key in known}, reverse=True)
        undecided = []
        for key in keys:
            values = {member: known[key] for member, known in self._told.items() if key in known}
            majority = _majority({id: value for id, value in values.items() if id not in doubted}, is_majority)
            if majority is None:
                undecided.append((key[0], values))
                continue
            for id, told in values.items():
                if id not in findings.agreeing and id not in findings.differing:
                    (findings.agreeing if told == majority else findings.differing)[id] = key[0]
        for index, values in undecided:
            _note_undecided(index, values, {*findings.differing, *doubted}, findings)
        return findings


def _majority(values: Mapping[int, str], is_majority: Callable[[Collection[int]], bool]) -> str | None:
    """Return the digest that a majority of the voters has told; None if there is none."""
    for value in set(values.values()):
        if is_majority([id for id, told in values.items() if told == value]):
            return value
    return None


def _note_undecided(index: int, values: Mapping[int, str], but: Collection[int], findings: Findings) -> None:
    """Add members whose digests differ at this index; not those that have agreed with a majority at a newer one."""
    left = {id: told for id, told in values.items() if id not in but and findings.agreeing.get(id, 0) <= index}
    if len(set(left.values())) > 1:
        for id in left:
            findings.undecided.setdefault(id, index)
