"""A state machine that only remembers, for tests of what drives it."""

import json
from array import array
from collections.abc import Iterable, Iterator

from raft.core.raft_messages import Entry


class Memory:
    """A state machine: the commands in the order in which they were applied.  `b"null"` forgets those before it."""

    def __init__(self) -> None:
        self.commands: list[bytes] = []
        self.indexes: list[int] = []
        self.clocks: list[tuple[int, int, int]] = []  # (index, the time before, the time after)
        self.told: list[int] = []  # what `applied` said
        self.restored: list[int] = []  # the indexes of the documents it went on from

    def apply(self, entry: Entry) -> object:
        """The command's place among the commands, from 1."""
        if entry.body == b"null":
            self.commands.clear()
            self.indexes.clear()
            return 0
        self.commands.append(entry.body)
        self.indexes.append(entry.index)
        return len(self.commands)

    def set_clock(self, index: int, before: int, time: int) -> None:
        """Noted."""
        self.clocks.append((index, before, time))

    def document(self) -> Iterator[bytes]:
        """The indexes, and the commands."""
        said = list(zip(self.indexes, self.commands, strict=True))
        return (b'{"index":%d,"command":%b}' % (index, command) for index, command in said)

    digest_format = 1

    def digest_input(self) -> Iterator[bytes]:
        """As `document`: there is one way to say it."""
        return self.document()

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        """What `document` wrote."""
        read = [json.loads(line) for line in lines]
        self.indexes = [line["index"] for line in read]
        self.commands = [json.dumps(line["command"]).encode() for line in read]
        self.restored.append(index)

    def live(self) -> "array[int]":
        """Where the commands are."""
        return array("Q", self.indexes)

    erased_index = 0  # nothing is ever taken back

    @property
    def live_bytes(self) -> int:
        """Of the commands, about."""
        return sum(len(command) + 100 for command in self.commands)

    def applied(self, index: int) -> None:
        """A batch is through."""
        assert index >= max(self.told, default=0)
        self.told.append(index)
