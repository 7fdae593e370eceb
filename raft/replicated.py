"""What the log makes: the state machine's state, and the memory of which proposals have been applied.

Both are functions of the log's committed entries alone, the same on every member, and go together into every document
of the state: a snapshot without the memory would apply a retried proposal twice (dissertation §6.3).
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

from raft.errors import InvalidMessage
from raft.messages import Entry
from raft.sessions import Sessions


class StateMachine(Protocol):
    """What is driven; `chat/replica.py` has the words."""

    def apply(self, entry: Entry) -> object: ...
    def applied(self, index: int) -> None: ...
    def document(self) -> Iterator[bytes]: ...
    def restore(self, index: int, lines: Iterable[bytes]) -> None: ...
    def live(self) -> "array[int]": ...
    @property
    def live_bytes(self) -> int: ...


class Replicated:
    """One state machine, and its sessions.  For one thread at a time."""

    def __init__(self, machine: StateMachine) -> None:
        self._machine = machine
        self._sessions = Sessions()

    def apply(self, entry: Entry) -> tuple[bool, object]:
        """Apply the next committed entry: (whether it was a proposal that is new, the machine's result)."""
        if entry.id is None or not self._sessions.admit(entry.id):
            return False, None
        return True, self._machine.apply(entry)

    def document(self) -> Iterator[bytes]:
        """All of the state in lines of JSON, the sessions first; equal states give equal bytes."""
        sessions = b'{"sessions":%b}' % json.dumps(self._sessions.document(), separators=(",", ":")).encode()
        return chain((sessions,), self._machine.document())

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        """Go on from a document of the state at `index`.  Raises InvalidMessage; then the state is as it was."""
        rest = iter(lines)
        try:
            head = json.loads(next(rest, b""))
        except ValueError:
            head = None
        if not isinstance(head, dict) or list(head) != ["sessions"]:
            raise InvalidMessage("a document of the state that does not begin with its sessions")
        sessions = Sessions.restored(head["sessions"])
        self._machine.restore(index, rest)
        self._sessions = sessions
