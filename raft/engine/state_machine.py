"""The replicated state: the state machine's state, the sessions, and how far the log is applied.

All are functions of the log's committed entries alone, the same on every member, and go together into every state
document: a snapshot without the sessions would apply a retried proposal twice (dissertation §6.3).
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

from raft.core.client_sessions import Sessions
from raft.core.configuration import Configuration, decode_configuration
from raft.core.raft_messages import Entry, Kind, SnapshotMeta
from raft.errors import InvalidMessage

DIGEST_FORMAT = 1  # of what `Replicated.digest_input` adds to the machine's


class StateMachine(Protocol):
    """The application's state, driven by committed entries."""

    def apply(self, entry: Entry) -> object:
        """Carry out a committed command: deterministic, total (never raises).  The proposer's `done` gets the result.

        Called by one thread at a time, in index order, each command once (the engine drops repeated proposals).
        """

    def set_clock(self, index: int, before: int, time: int) -> None:
        """The log's time is `time` from log index `index` on, and was `before` until then.

        Called by a thread that applies, in index order.
        """

    def applied(self, index: int) -> None:
        """A batch is through: all up to `index` is applied.  The place to hand events on to sockets."""

    def document(self) -> Iterator[bytes]:
        """Return the replicated state as JSON objects of up to 512 KiB without newline; equal states give equal bytes.

        As of this call, which takes milliseconds: the lines are made as they are asked for, by any thread, while
        `apply` goes on.
        """

    @property
    def digest_format(self) -> int:
        """The number of the form of `digest_input`.  Bytes of different forms are never compared."""

    def digest_input(self) -> Iterator[bytes]:
        """Return the replicated state in pieces of bytes; equal states give equal bytes, however they came about.

        As of this call, which takes milliseconds, like `document`.
        """

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        """Be the state whose document at log index `index` these lines are.

        Raises InvalidMessage where they are none: then nothing has changed.
        """

    def live(self) -> "array[int]":
        """Ascending log indexes, array("Q"), of the entries whose text may still be asked for."""

    @property
    def live_bytes(self) -> int:
        """About the sum of the lengths of their records; quick to ask."""

    @property
    def erased_index(self) -> int:
        """Log index of the newest command that took a text back; 0 for none: quick to ask."""


class CopyTaker(Protocol):
    """The collector of the copies that are hashed (raft/digest)."""

    def wants(self, *, is_coarse: bool) -> bool:
        """Return whether a copy is wanted at a point, of a long period or not (raft/core/digest_points.py)."""

    def put(self, format: str, index: int, pieces: Iterator[bytes]) -> None:
        """Take a copy of the state at this log index; never blocks."""


class Replicated:
    """A state machine and its sessions.  For one thread at a time."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._sessions = Sessions()
        self._meta = SnapshotMeta(0, 0, 0, 0, Configuration({}).encode())  # as restored, or of `_last`
        self._last: Entry | None = None  # the last entry applied since
        self._configuration: Entry | None = None  # the last one of these

    @property
    def meta(self) -> SnapshotMeta:
        """The description of a document made now; index 0 if nothing has been applied."""
        if self._last is not None:
            last, configuration = self._last, self._configuration
            index, encoded = self._meta.configuration_index, self._meta.configuration
            if configuration is not None:
                index, encoded = configuration.index, decode_configuration(configuration.body).encode()
            self._meta = SnapshotMeta(last.index, last.term, last.time, index, encoded)
            self._last = self._configuration = None
        return self._meta

    def apply(self, entry: Entry) -> tuple[bool, object]:
        """Apply the next committed entry: (whether it was a new proposal, the machine's result)."""
        self._last = entry
        if entry.kind is Kind.CONFIGURATION:
            self._configuration = entry
        elif entry.kind is Kind.CLOCK:
            self._machine.set_clock(entry.index, int(entry.body), entry.time)
        if entry.id is None or not self._sessions.admit(entry.id):
            return False, None
        return True, self._machine.apply(entry)

    def document(self) -> Iterator[bytes]:
        """Return the whole state as of now in lines of JSON, the sessions first; equal states give equal bytes.

        This takes milliseconds.  The lines are made as they are asked for, by any thread, while `apply` goes on.
        """
        sessions = b'{"sessions":%b}' % json.dumps(self._sessions.document(), separators=(",", ":")).encode()
        return chain((sessions,), self._machine.document())

    @property
    def digest_format(self) -> str:
        """The form of `digest_input`, of the engine's part and the machine's."""
        return f"{DIGEST_FORMAT}.{self._machine.digest_format}"

    def digest_input(self) -> Iterator[bytes]:
        """Return all that is replicated, as of now, in pieces of bytes for a digest.

        Nothing in them depends on the program's version or on how this member came to the state.
        """
        meta = self.meta
        configuration = decode_configuration(meta.configuration).encode()
        head = b"%d %d %d %d %b\n" % (meta.index, meta.term, meta.time, meta.configuration_index, configuration)
        sessions = json.dumps(self._sessions.document(), separators=(",", ":")).encode() + b"\n"
        return chain((head, sessions), self._machine.digest_input())

    def restore(self, meta: SnapshotMeta, lines: Iterable[bytes]) -> None:
        """Go on from a state document.  Raises InvalidMessage; then the state is unchanged."""
        rest = iter(lines)
        try:
            head = json.loads(next(rest, b""))
        except ValueError:
            head = None
        if not isinstance(head, dict) or list(head) != ["sessions"]:
            raise InvalidMessage("a document of the state that does not begin with its sessions")
        sessions = Sessions.restored(head["sessions"])
        self._machine.restore(meta.index, rest)
        self._sessions = sessions
        self._meta, self._last, self._configuration = meta, None, None
