"""Older copies of a member's data: a member stops rather than undo what lasts, and a copied log begins a generation."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft.disk import RealDisk
from raft.errors import Diverged, StartRefused
from raft.identity import load_or_create, save
from raft.log import Log
from raft.membership import Configuration, decode_configuration
from raft.messages import AppendEntries, AppendEntriesReply, Entry, HardState, Kind
from raft.node import Node
from tests.raft.cluster import founders
from tests.raft.disks import entries


def member(configuration: Configuration, id: int = 2, generation: str = "") -> Node:
    known = [(0, configuration)]
    return Node(id, log=Log(), hard_state=HardState(), configurations=known, rng=Random(0), generation=generation)


def append(prev: int, *new: Entry, term: int = 1, prev_term: int = 1, commit: int = 0) -> AppendEntries:
    heartbeat = not new
    return AppendEntries(1, 2, term, prev, prev_term if prev else 0, new, commit, round=0, heartbeat=heartbeat)


def holding(last: int, commit: int) -> Node:
    node = member(founders([1, 2, 3]))
    node.step(append(0, *entries(1, last), commit=commit))
    node.persisted(node.ready().sequence)
    return node


def test_a_member_stops_rather_than_undo_what_it_knows_to_be_committed() -> None:
    node = holding(5, commit=4)
    with pytest.raises(Diverged, match=r"would undo index 4, but .* up to 4 are committed") as stop:
        node.step(append(3, *entries(4, 4, term=2), term=2))
    assert not stop.value.log_is_old
    assert (node.commit_index, node.log.last_index) == (4, 5)


def test_what_is_not_known_to_be_committed_is_still_undone() -> None:
    node = holding(5, commit=4)
    node.step(append(4, *entries(5, 5, term=2), term=2))
    assert node.log.last_term == 2


def test_a_member_whose_log_lost_what_it_acknowledged_to_this_leader_stops() -> None:
    node = holding(3, commit=3)
    with pytest.raises(Diverged, match=r"acknowledged index 5, but this log ends at 3: .* older copy") as stop:
        node.step(append(5))
    assert stop.value.log_is_old


def test_an_append_beyond_the_log_is_only_refused() -> None:
    node = holding(3, commit=3)
    node.step(append(5, *entries(6, 6)))
    (reply,) = node.ready().messages
    assert isinstance(reply, AppendEntriesReply)
    assert not reply.success


def test_a_directory_found_to_be_old_is_never_started_again(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 2)
    save(RealDisk(), tmp_path, replace(identity, refused="it lost index 5; remove member 2 and add a new id"))
    for _ in range(2):
        with pytest.raises(StartRefused, match="older copy: it lost index 5"):
            load_or_create(RealDisk(), tmp_path, 2)


def led(node: Node) -> list[Entry]:
    """What the only voter writes when it comes to lead."""
    written: list[Entry] = []
    for now_ms in range(0, 2_000, 60):
        node.tick(float(now_ms), 1)
        ready = node.ready()
        written += ready.entries
        node.persisted(ready.sequence)
    return written


def test_a_sole_voter_from_a_copy_commits_its_generation_with_its_first_entry() -> None:
    node = member(founders([2]), generation="ab12")
    node.tick(0.0, 1)
    written = led(node)
    assert [entry.kind for entry in written] == [Kind.NOOP, Kind.CONFIGURATION]
    assert decode_configuration(written[1].body).generation == "ab12"
    assert node.committed_configuration.generation == "ab12"


def test_no_read_is_confirmed_before_the_generation_is_committed() -> None:
    node = member(founders([2]), generation="ab12")
    confirmed: list[tuple[int, int]] = []
    asked = False
    for now_ms in range(0, 2_000, 60):
        node.tick(float(now_ms), 1)
        if node.leader_id == 2 and not asked:
            node.read_index(7)
            asked = True
        ready = node.ready()
        confirmed += ready.reads
        node.persisted(ready.sequence)
        confirmed += node.ready().reads
    assert confirmed == [(7, 2)]


def test_one_of_several_voters_begins_no_generation() -> None:
    node = member(founders([1, 2, 3]), generation="ab12")
    node.become_candidate()
    node.become_leader()
    assert [entry.kind for entry in node.ready().entries] == [Kind.NOOP]


def test_a_generation_is_kept_by_the_encoding_and_absent_at_first() -> None:
    configuration = founders([1])
    assert decode_configuration(configuration.encode()) == configuration
    assert b"generation" not in configuration.encode()
    begun = replace(configuration, generation="ab12")
    assert decode_configuration(begun.encode()) == begun
