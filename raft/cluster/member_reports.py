"""The report of each member on itself, for `GET /raft`: role, progress, version of the program, disk, clock.

A member's report is its answer to a notice (raft/engine/gossip.py), so any member can show all of them.  Reports take
no part in the protocol.

Rules
- A report is a JSON object.  Unknown members of it are ignored, and missing ones are not shown: members of other
  versions may say more, or less.  Text that is no such object counts as a report that says nothing.
- Numbers and texts have bounds, for they are shown to operators as they came.
"""

import json
from collections.abc import Callable
from time import monotonic
from typing import Final

from raft.core.configuration import MEMBERS_MAX
from raft.rpc.codec import NUMBER_MAX

TEXTS: Final = {"Role": 16, "Version": 64, "StateDigests": 300}  # with their longest lengths
NUMBERS: Final = ("Term", "LastApplied", "DiskFreeBytes", "StateDoubt")

Report = dict[str, str | int]


class MemberReports:
    """The newest report of each other member.  For any thread."""

    def __init__(self, own: Callable[[], Report]) -> None:
        """`own` makes this member's report; it must not block."""
        self._own = own
        self._heard: dict[int, tuple[Report, float]] = {}

    def encode_own(self) -> str:
        """Encode the own report, for an answer."""
        return json.dumps(self._own(), separators=(",", ":"))

    def heard(self, member: int, text: str) -> None:
        """Note the report of another member."""
        if member in self._heard or len(self._heard) < MEMBERS_MAX:
            self._heard[member] = decode(text), monotonic()

    def of(self, member: int) -> dict[str, object]:
        """The members of a row of `GET /raft` that this report has; `HeardMs` is its age."""
        known = self._heard.get(member)
        if known is None:
            return {}
        report, heard_s = known
        return {**report, "HeardMs": round((monotonic() - heard_s) * 1000)}

    def forget_all_but(self, members: frozenset[int]) -> None:
        """Forget the reports of members that were removed."""
        for id in [id for id in self._heard if id not in members]:
            self._heard.pop(id, None)


def decode(text: str) -> Report:
    """The known members of a report, as far as they are valid."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    report: Report = {}
    for name, length_max in TEXTS.items():
        said = value.get(name)
        if isinstance(said, str) and 0 < len(said) <= length_max and said.isprintable():
            report[name] = said
    for name in NUMBERS:
        number = value.get(name)
        if type(number) is int and 0 <= number <= NUMBER_MAX:
            report[name] = number
    return report
