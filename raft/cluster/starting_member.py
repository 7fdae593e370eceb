"""A member that does not take part yet: it waits for its cluster, or reads its log.  It says so, and proposes nothing.

It stands where chat/replica.py's Replica stands until the real one can.
"""

import math
from collections.abc import Callable, Sequence

from raft.core.configuration import Change
from raft.core.raft_messages import Command
from raft.errors import RaftError, Unavailable


class StartingMember:
    """`why()` says in words what it waits for."""

    cluster_id = ""
    generation = ""
    last_applied = 0

    def __init__(self, id: int, listed: dict[int, str], why: Callable[[], str]) -> None:
        self._id = id
        self._listed = listed
        self._why = why
        self.on_notice: Callable[[int, bytes], None] = lambda member, body: None  # nobody tells it anything

    @property
    def level(self) -> int:
        """Nobody was asked yet."""
        raise self._unavailable()

    @property
    def leads(self) -> bool:
        """Nobody follows it."""
        return False

    def agreed_time(self) -> int:
        """Nobody was asked yet."""
        raise self._unavailable()

    def accept_clock(self) -> tuple[int, int]:
        """Refused."""
        raise self._unavailable()

    def contact_age_s(self) -> float:
        """No leader has spoken to it."""
        return math.inf

    def tell(self, body: bytes) -> None:
        """Nobody is there to be told."""

    def propose(self, command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        """Refused: nothing can be committed."""
        done(self._unavailable())

    def flush(self) -> None:
        """Nothing was proposed."""

    def read(self, done: Callable[[RaftError | None], None], *, min_index: int = 0, stale: bool = False) -> None:
        """Refused: nobody can say what was acknowledged."""
        done(self._unavailable())

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        """Nothing is applied, and nothing will be."""
        return index <= 0

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        """There are none."""
        return []

    def change(self, change: Change) -> None:
        """Refused."""
        raise self._unavailable()

    def transfer(self, target: int) -> None:
        """Refused."""
        raise self._unavailable()

    def nodes(self) -> list[str]:
        """None is known."""
        return []

    def status(self) -> dict[str, object]:
        """`GET /raft`, with what is waited for."""
        members = [{"Id": id, "Url": url, "Voting": True, "Advertise": ""} for id, url in sorted(self._listed.items())]
        return {
            "Id": self._id,
            "Leader": 0,
            "Term": 0,
            "Role": "starting",
            "CommitIndex": 0,
            "LastApplied": 0,
            "LastIndex": 0,
            "ClusterId": "",
            "WaitingFor": self._why(),
            "Members": members,
        }

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"{self._why()}; nothing was proposed")
