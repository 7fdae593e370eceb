"""Whole members that compact: who slept through it catches up by a snapshot, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from raft.compaction import compact, write_checkpoint
from raft.disk import RealDisk
from raft.housekeeping import CHECKPOINT, Housekeeper
from raft.messages import SnapshotMeta
from tests.cluster.waiting import wait_until
from tests.raft.members import DEADLINE_S, House, Street, founded
from tests.raft.memory import Memory


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Three members for one test."""
    with founded(tmp_path) as street:
        yield street


def rewritten(house: House, kind: str = "compaction") -> SnapshotMeta:
    """All that the member has applied is in a snapshot, or a checkpoint, as its housekeeper would have it."""
    make = write_checkpoint if kind == CHECKPOINT else compact
    member = house.member
    keeper = Housekeeper(
        member._door, member._storage, member._applier, house.memory,
        lambda kind, up_to: make(RealDisk(), house.path, up_to, Memory()),
    )  # fmt: skip
    up_to = member.last_applied
    return keeper.checkpoint(up_to) if kind == CHECKPOINT else keeper.compact(up_to)


def say(house: House, *numbers: int) -> None:
    for number in numbers:
        house.result_of(b"%d" % number)


def same_on_all(street: Street) -> None:
    last = max(house.member.last_applied for house in street.present())
    for house in street.present():
        wait_until(lambda house=house: house.member.last_applied >= last, DEADLINE_S, "all is applied")  # type: ignore[misc]
    assert len({tuple(zip(h.memory.indexes, h.memory.commands, strict=True)) for h in street.present()}) == 1


def test_a_member_that_slept_through_a_compaction_catches_up_by_a_snapshot(street: Street) -> None:
    sleeper = street.followers()[0]
    say(street.leader(), 1, 2)
    sleeper.stop()
    say(street.leader(), 3, 4)
    meta = rewritten(street.leader())
    say(street.leader(), 5)
    sleeper.start()
    same_on_all(street)
    assert sleeper.memory.restored == [meta.index]
    assert sleeper.memory.commands == [b"1", b"2", b"3", b"4", b"5"]
    assert [entry.body for entry in sleeper.member.entries(sleeper.memory.indexes)] == sleeper.memory.commands
    assert sleeper.result_of(b"6") == 6
