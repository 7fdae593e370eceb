"""Starts from a document of the state: it says up to which entry it is, and each entry counts once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raft.compaction.compactor import compact
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from tests.raft.checkpoints import written_checkpoint
from tests.raft.members import House, Street
from tests.raft.memory import Memory

COMMANDS = [b"1", b"2", b"3", b"4"]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A member that is a cluster by itself."""
    street = Street(tmp_path, 1)
    street.found()
    try:
        yield street[1]
    finally:
        street.close()


def checkpointed(data_dir: Path, index: int) -> None:
    storage = Storage.open(RealDisk(), data_dir)
    written_checkpoint(storage, index, Memory())
    storage.close()


def compacted(data_dir: Path, index: int) -> None:
    compact(RealDisk(), data_dir, index, Memory())


@pytest.mark.parametrize("make", [checkpointed, compacted])
def test_the_applied_index_is_saved_with_the_state_so_that_no_start_applies_an_entry_twice(
    make: Callable[[Path, int], None], house: House
) -> None:
    for command in COMMANDS:
        house.result_of(command)
    indexes = list(house.memory.indexes)
    house.stop()
    for index in indexes:
        make(house.path, index)
        house.start()
        assert house.read() is None  # it leads, and has applied all that was committed
        assert house.memory.restored == [index]
        assert (house.memory.commands, house.memory.indexes) == (COMMANDS, indexes)
        house.stop()
