"""The state machine and its sessions go together: through entries, and through documents."""

import json
from array import array
from collections.abc import Iterable, Iterator

import pytest

from raft.core.configuration import Configuration, Member
from raft.core.entries import clock_entry, command_entry, configuration_entry, noop_entry
from raft.core.raft_messages import Entry, ProposalId, SnapshotMeta
from raft.engine.state_machine import Replicated
from raft.errors import InvalidMessage

FOUNDING = Configuration({1: Member(1, "http://one", True)})
GROWN = Configuration({**FOUNDING.members, 2: Member(2, "http://two", False)})


class Words:
    """A list of what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.index = 0
        self.clocks: list[tuple[int, int, int]] = []

    def apply(self, entry: Entry) -> object:
        self.said.append(json.loads(entry.body))
        return len(self.said)

    def set_clock(self, index: int, before: int, time: int) -> None:
        self.clocks.append((index, before, time))

    def applied(self, index: int) -> None:
        self.index = index

    def live(self) -> "array[int]":
        return array("Q")

    erased_index = 0  # nothing is ever taken back

    @property
    def live_bytes(self) -> int:
        return 0

    def document(self) -> Iterator[bytes]:
        return (json.dumps({"word": word}).encode() for word in self.said.copy())

    digest_format = 1

    def digest_input(self) -> Iterator[bytes]:
        return self.document()

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


def test_the_machine_is_told_of_a_clock_entry_which_is_the_last_one() -> None:
    replicated = Replicated(machine := Words())
    replicated.apply(clock_entry(1, 2, 50, 70))
    assert machine.clocks == [(1, 70, 50)]
    assert replicated.meta.index == 1 and replicated.meta.time == 50


def test_a_proposal_that_a_document_knows_is_not_applied_again() -> None:
    first = Replicated(Words())
    first.apply(said(1, "a", 1))
    second = Replicated(machine := Words())
    second.restore(first.meta, first.document())
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
        replicated.restore(SnapshotMeta(9, 1, 0, 0, b"{}"), lines)
    assert list(replicated.document()) == before and machine.said == ["a"]
    assert replicated.meta.index == 1


def test_a_document_is_of_the_last_entry_and_of_the_configuration_in_force_there() -> None:
    replicated = Replicated(Words())
    assert replicated.meta == SnapshotMeta(0, 0, 0, 0, Configuration({}).encode())
    replicated.apply(said(1, "a", 1))
    assert replicated.meta == SnapshotMeta(1, 1, 0, 0, Configuration({}).encode())
    replicated.apply(configuration_entry(2, 3, 70, GROWN.encode()))
    replicated.apply(noop_entry(3, 4, 80))
    assert replicated.meta == SnapshotMeta(3, 4, 80, 2, GROWN.encode())
    other = Replicated(Words())
    other.restore(replicated.meta, replicated.document())
    assert other.meta == replicated.meta
    other.apply(said(4, "a", 1))  # it is refused, and is the last one all the same
    assert other.meta == SnapshotMeta(4, 1, 0, 2, GROWN.encode())
