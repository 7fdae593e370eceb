"""A member that does not take part yet: it waits for its cluster, or reads its log.  It refuses all proposals and
reads.

It implements chat/replica.py's Replica until the real one can.
"""

import math
from collections.abc import Callable, Sequence

from raft.core.configuration import Change
from raft.core.raft_messages import Command
from raft.errors import CorruptLog, RaftError, Unavailable


class StartingMember:
    """A replica that refuses everything; `why()` says in words what it waits for."""

    cluster_id = ""
    generation = ""
    last_applied = 0

    def __init__(
        self, id: int, listed: dict[int, str], why: Callable[[], str], stage: Callable[[], str] | None = None
    ) -> None:
        """`stage()`: the same for anybody, without a URL or an address."""
        self._id = id
        self._listed = listed
        self._why = why
        self._stage = stage or (lambda: "this node does not take part in its cluster yet")

    @property
    def level(self) -> int:
        """Raise Unavailable: no member was asked yet."""
        raise self._unavailable()

    @property
    def leads(self) -> bool:
        """False: no member follows this one."""
        return False

    def agreed_time(self) -> int:
        """Raise Unavailable: no member was asked yet."""
        raise self._unavailable()

    def accept_clock(self) -> tuple[int, int]:
        """Raise Unavailable."""
        raise self._unavailable()

    @property
    def is_set_aside(self) -> bool:
        """Return False: there is no state yet."""
        return False

    def contact_age_s(self) -> float:
        """Return infinity: no leader was heard."""
        return math.inf

    def tell(self, body: bytes) -> None:
        """Do nothing: no other member is known."""

    def propose(self, command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        """Refuse: nothing can be committed."""
        done(self._unavailable())

    def flush(self) -> None:
        """Do nothing: nothing was proposed."""

    def flush_soon(self) -> None:
        """Do nothing: nothing was proposed."""

    def read(self, done: Callable[[RaftError | None], None], *, min_index: int = 0, stale: bool = False) -> None:
        """Refuse: nothing is known of what was acknowledged."""
        done(self._unavailable())

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        """Return nothing: no command is applied."""
        return []

    def backup(self, index: int, wait_s: float) -> None:
        """Raise Unavailable: there is no state yet."""
        raise self._unavailable()

    def find_backup(self, tag: str) -> None:
        """Return None: no backup was made."""

    def mended(self, damage: CorruptLog) -> bool:
        """Return False: nothing was read."""
        return False

    def scrub(self) -> None:
        """Raise Unavailable."""
        raise self._unavailable()

    def change(self, change: Change) -> None:
        """Raise Unavailable."""
        raise self._unavailable()

    def transfer(self, target: int) -> None:
        """Raise Unavailable."""
        raise self._unavailable()

    def nodes(self) -> list[str]:
        """Return nothing: no URL is known."""
        return []

    def ask_members(self) -> None:
        """Do nothing: no other member is known."""

    def status(self) -> dict[str, object]:
        """Return the body of `GET /raft`, with what this member waits for."""
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

    def metrics(self) -> None:
        """Return None: this member has no numbers yet."""

    def readiness(self) -> list[tuple[str, str]]:
        """Return the one check that fails until this member takes part."""
        return [("starting", self._stage())]

    def _unavailable(self) -> Unavailable:
        return Unavailable(f"{self._why()}; nothing was changed")
