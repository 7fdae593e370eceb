"""The engine as the chat uses it: propose, read, status, change.  `raft/cluster/member.py` implements it.

Everything here is thread-safe.  A callback `done` is called exactly once, by a thread of the engine's.  It must not
block, raise or call back into the engine, except for `commands`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from raft.core.configuration import Change
from raft.core.raft_messages import Command
from raft.errors import CorruptLog, RaftError
from raft.metrics import MemberMetrics

STALE_S_MAX = 60.0  # how long a node that hears no leader serves stale reads, if answers depend on the user


class BackupFile(Protocol):
    """A backup that a member has made, open for reading."""

    @property
    def index(self) -> int:
        """The log index up to which all is in the backup."""

    @property
    def tag(self) -> str:
        """The name of this very file, while this process keeps it."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, count: int) -> bytes:
        """Up to `count` bytes from `offset`.  Raises OSError."""

    def close(self) -> None:
        """Close it."""


class Replica(Protocol):
    """A member of the cluster."""

    @property
    def cluster_id(self) -> str:
        """Hex digits; "" until a cluster is created or joined."""

    @property
    def generation(self) -> str:
        """Hex digits, another one after a sole voter has started from a copy of its data; "" at first."""

    @property
    def last_applied(self) -> int:
        """The log index up to which this member's state is."""

    @property
    def level(self) -> int:
        """The level of commands that every member of the cluster knows; raises Unavailable where that is not known."""

    @property
    def leads(self) -> bool:
        """True if this member leads, as far as it knows."""

    @property
    def is_set_aside(self) -> bool:
        """True if this member's state differs from the others': it answers no reads, until it has a new state."""

    def agreed_time(self) -> int:
        """The log's time in microseconds since 1970, which everything with a life is aged by (raft/engine/clocks.py).

        Raises Unavailable while a majority's clocks are not known.
        """

    def accept_clock(self) -> tuple[int, int]:
        """Set the log's time to the clock's; the log's time before and after it.

        Returns once committed and applied here.  Raises as `change` does.
        """

    def contact_age_s(self) -> float:
        """Seconds since this member was in contact with a majority by way of a leader; infinite: never yet.

        They go on while the process is stopped: what it shows by `stale` reads may be as old as that.
        """

    def tell(self, body: bytes) -> None:
        """Have the other members know `body`, up to 256 KiB, beside the log; never blocks.  Raises ValueError.

        The newest counts: it is told again every ten seconds, and may get lost, be overtaken or come twice.
        """

    def propose(self, command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        """Replicate `command` (JSON, one line); `done` gets what the state's `apply` returned, on this member.

        Never blocks.  `flushes`: the caller is going to call `flush` or `flush_soon`; otherwise another thread is woken
        for it.

        Instead of a result `done` may get an instance of Unavailable (nothing was proposed) or OutcomeUnknown.
        """

    def flush(self) -> None:
        """Write what has been proposed: blocks for one write to the disk, unless another thread is at it already."""

    def flush_soon(self) -> None:
        """Have another thread write what has been proposed; never blocks."""

    def read(self, done: Callable[[RaftError | None], None], *, min_index: int = 0, stale: bool = False) -> None:
        """ReadIndex (dissertation §6.4): `done(None)` once this member's state holds all that was acknowledged before.

        And all of the log up to `min_index`; `stale`: no more than that.  `done(Unavailable)` within 5 s where no
        quorum answers, or the state does not come so far.  Never blocks; may call back before it returns.
        """

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        """Applied commands by their log indexes, ascending, read from the disk's cache (pread): no lock, any thread.

        Raises LookupError where one of them is no longer in the log: a compaction keeps what the state calls live.
        Raises CorruptLog where one is damaged on this node's disk.  It is being mended: see `mended`.
        """

    def backup(self, index: int, wait_s: float) -> BackupFile | None:
        """A backup of the log up to `index` at least, made now if there is none; None if that takes longer.

        Raises BackupRefused, CorruptLog or Unavailable.
        """

    def find_backup(self, tag: str) -> BackupFile | None:
        """The backup of this tag, if this member still has it."""

    def mended(self, damage: CorruptLog) -> bool:
        """Wait until what `commands` found damaged is mended from another member; five seconds at most.

        Then read again.  False: no member has it, or it takes longer.  Only for a thread that nobody else waits for.
        """

    def scrub(self) -> None:
        """Begin to read all of this member's files; what is damaged is mended."""

    def ask_members(self) -> None:
        """Have `status` show the members as they are now: blocks for their answers, half a second at most."""

    def status(self) -> dict[str, object]:
        """The body of `GET /raft` as api.md has it; local, never waits."""

    def metrics(self) -> MemberMetrics | None:
        """The numbers of this member; None while it starts.  May wait for the disk to say what is free."""

    def readiness(self) -> Sequence[tuple[str, str]]:
        """The checks of `GET /readyz`: each its name, and why it fails ("" if it does not).  Local, never waits.

        For anybody: the reasons name no node, file or address.
        """

    def change(self, change: Change) -> None:
        """Change the membership; returns once committed and applied here, and a promotion once the member votes.

        Raises ChangeRefused (409), Unavailable (503) or OutcomeUnknown (504).
        """

    def transfer(self, target: int) -> None:
        """Have member `target` lead; returns once it does, as seen here.  Raises as `change` does."""
