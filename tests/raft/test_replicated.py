"""The state machine and its sessions go together: through entries, and through documents."""

import json
from array import array
from collections.abc import Iterable, Iterator

import pytest

from raft.errors import InvalidMessage
from raft.messages import Entry, ProposalId
from raft.records import command_entry, noop_entry
from raft.replicated import Replicated


class Words:
    """A list of what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.index = 0

    def apply(self, entry: Entry) -> object:
        self.said.append(json.loads(entry.body))
        return len(self.said)

    def applied(self, index: int) -> None:
        self.index = index

    def live(self) -> "array[int]":
        return array("Q")

    @property
    def live_bytes(self) -> int:
        return 0

    def document(self) -> Iterator[bytes]:
        return (json.dumps({"word": word}).encode() for word in self.said)

    def restore(self, index: int, lines: Iterable[bytes]) -> None:
        said = [json.loads(line).get("word") for line in lines]
        if None in said:
            raise InvalidMessage("no word")
        self.said, self.index = said, index


def said(index: int, word: str, sequence: int) -> Entry:
    return command_entry(index, 1, 0, ProposalId(1, 1, sequence, sequence), json.dumps(word).encode())


def test_a_repeated_proposal_is_applied_once() -> None:
    replicated = Replicated(machine := Words())
    assert replicated.apply(said(1, "a", 1)) == (True, 1)
    assert replicated.apply(said(2, "a", 1)) == (False, None)
    assert replicated.apply(noop_entry(3, 2, 0)) == (False, None)
    assert machine.said == ["a"]


def test_a_proposal_that_a_document_knows_is_not_applied_again() -> None:
    first = Replicated(Words())
    first.apply(said(1, "a", 1))
    second = Replicated(machine := Words())
    second.restore(1, first.document())
    assert list(second.document()) == list(first.document())
    assert second.apply(said(2, "a", 1)) == (False, None)
    assert second.apply(said(3, "b", 2)) == (True, 2)
    assert machine.said == ["a", "b"] and machine.index == 1


@pytest.mark.parametrize(
    "lines",
    [[], [b"x"], [b"[]"], [b'{"word":"a"}'], [b'{"sessions":7}'], [b'{"sessions":[]}', b'{"no":1}']],
)
def test_a_document_that_is_none_changes_nothing(lines: list[bytes]) -> None:
    replicated = Replicated(machine := Words())
    replicated.apply(said(1, "a", 1))
    before = list(replicated.document())
    with pytest.raises(InvalidMessage):
        replicated.restore(9, lines)
    assert list(replicated.document()) == before and machine.said == ["a"]
