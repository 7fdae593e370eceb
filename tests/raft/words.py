"""A small state machine whose entries supersede each other, and what it must come to, said in another way."""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence

from raft.core.raft_messages import Entry, Kind
from raft.errors import InvalidMessage


def word_of(entry: Entry) -> str:
    return str(json.loads(entry.body)["Text"])[:2]


class Words:
    """For each word, the index of the last entry that begins with it: the only one that is live."""

    def __init__(self) -> None:
        self.said: dict[str, int] = {}
        self.applied_count = 0

    def apply(self, entry: Entry) -> object:
        self.said[word_of(entry)] = entry.index
        self.applied_count += 1
        return None

    def set_clock(self, index: int, before: int, time: int) -> None:
        pass

    def applied(self, index: int) -> None:
        pass

    def document(self) -> Iterator[bytes]:
        said = sorted(self.said.items())
        return (json.dumps({"word": word, "index": index}).encode() for word, index in said)

    digest_format = 1

    def digest_input(self) -> Iterator[bytes]:
        return self.document()

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        said = {}
        for line in lines:
            value = json.loads(line)
            if set(value) != {"word", "index"}:
                raise InvalidMessage("not a word")
            said[value["word"]] = value["index"]
        self.said = said

    def live(self) -> "array[int]":
        return array("Q", sorted(self.said.values()))

    erased_index = 0  # nothing is ever taken back

    @property
    def live_bytes(self) -> int:
        return 100 * len(self.said)


def live_after(log: Sequence[Entry]) -> list[int]:
    """The indexes that are live once this log is applied."""
    commands = [one for one in log if one.kind is Kind.COMMAND]
    return [
        one.index for one in commands if not any(word_of(one) == word_of(x) for x in commands if x.index > one.index)
    ]
