"""The engine as the chat sees it: propose, read, status, change.  `raft/driver.py` is the real one.

Everything here is thread-safe.  A callback `done` is called exactly once, by a thread of the engine's own: it must
not block, must not raise and must not call back into the engine.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from raft.errors import RaftError
from raft.membership import Change
from raft.messages import Entry


class Replica(Protocol):
    """One member of the cluster."""

    @property
    def cluster_id(self) -> str:
        """Hex digits; "" until a cluster is created or joined."""

    @property
    def last_applied(self) -> int:
        """The log index up to which this member's state is."""

    def propose(self, command: bytes, done: Callable[[object], None], *, may_wait: bool = False) -> None:
        """Replicate `command` (JSON, one line); `done` gets what the state's `apply` returned, on this member.

        `may_wait`: the calling thread may be kept for one write to the disk; otherwise the call never blocks.

        Instead of a result `done` may get an instance of Unavailable (nothing was proposed) or OutcomeUnknown.
        """

    def read(self, done: Callable[[RaftError | None], None]) -> None:
        """ReadIndex (dissertation §6.4): `done(None)` once this member's state holds all that was acknowledged before.

        `done(Unavailable)` within 5 s where no quorum answers.
        """

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        """Block until `last_applied` >= index; False where that takes longer."""

    def entries(self, indexes: Sequence[int]) -> list[Entry]:
        """Applied entries by their log indexes, ascending, read from the disk's cache (pread): no lock, any thread."""

    def status(self) -> dict[str, object]:
        """The body of `GET /raft` as api.md has it; local, never waits."""

    def change(self, change: Change) -> None:
        """Change the membership; returns once committed and applied here.

        Raises ChangeRefused (409), Unavailable (503) or OutcomeUnknown (504).
        """


class StateMachine(Protocol):
    """What the engine drives: the chat's state."""

    def apply(self, entry: Entry) -> object:
        """Carry out a committed command: deterministic, total (never raises).  The proposer's `done` gets the result.

        Called by one thread, in index order, each command once (the engine drops repeated proposals).
        """

    def applied(self, index: int) -> None:
        """A batch is through: all up to `index` is applied.  The place to hand events on to sockets."""
