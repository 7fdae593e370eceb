"""Starts from a document of the state: it says up to which entry it is, and each entry counts once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raft.compaction import compact, write_checkpoint
from raft.disk import RealDisk
from raft.messages import SnapshotMeta
from raft.replicated import StateMachine
from tests.raft.members import House, Street
from tests.raft.memory import Memory

COMMANDS = [b"1", b"2", b"3", b"4"]
Make = Callable[[RealDisk, Path, int, StateMachine], SnapshotMeta]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A member that is a cluster by itself."""
    street = Street(tmp_path, 1)
    street.found()
    try:
        yield street[1]
    finally:
        street.close()


@pytest.mark.parametrize("make", [write_checkpoint, compact])
def test_the_applied_index_is_saved_with_the_state_so_that_no_start_applies_an_entry_twice(
    make: Make, house: House
) -> None:
    for command in COMMANDS:
        house.result_of(command)
    indexes = list(house.memory.indexes)
    house.stop()
    for index in indexes:
        make(RealDisk(), house.path, index, Memory())
        house.start()
        assert house.read() is None  # it leads, and has applied all that was committed
        assert house.memory.restored == [index]
        assert (house.memory.commands, house.memory.indexes) == (COMMANDS, indexes)
        house.stop()
