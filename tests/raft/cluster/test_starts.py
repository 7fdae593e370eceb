"""Starts from a document of the state: it says up to which entry it is, and each entry counts once."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raft.compaction.compactor import compact
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from tests.raft.checkpoints import written_checkpoint
from tests.raft.members import Host, Members
from tests.raft.memory import Memory

COMMANDS = [b"1", b"2", b"3", b"4"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A member that is a cluster by itself."""
    cluster = Members(tmp_path, 1)
    cluster.found()
    try:
        yield cluster[1]
    finally:
        cluster.close()


def checkpointed(data_dir: Path, index: int) -> None:
    storage = Storage.open(RealDisk(), data_dir)
    written_checkpoint(storage, index, Memory())
    storage.close()


def compacted(data_dir: Path, index: int) -> None:
    compact(RealDisk(), data_dir, index, Memory())


@pytest.mark.parametrize("make", [checkpointed, compacted])
def test_the_applied_index_is_saved_with_the_state_so_that_no_start_applies_an_entry_twice(
    make: Callable[[Path, int], None], host: Host
) -> None:
    for command in COMMANDS:
        host.result_of(command)
    indexes = list(host.memory.indexes)
    host.stop()
    for index in indexes:
        make(host.path, index)
        host.start()
        assert host.read() is None  # it leads, and has applied all that was committed
        assert host.memory.restored == [index]
        assert (host.memory.commands, host.memory.indexes) == (COMMANDS, indexes)
        host.stop()
