"""What a start finds in a directory, to compare: with its indexes, and without them."""

from dataclasses import dataclass
from pathlib import Path

from raft.core.raft_messages import Entry, HardState
from raft.storage.disk import Disk
from raft.storage.file_names import indexed_by
from raft.storage.positions import unpack
from raft.storage.recovery import LastSegment, recover
from tests.raft.power import PowerDisk

DIRECTORY = Path("/data")


@dataclass(frozen=True)
class Found:
    """All that a recovered log says; positions by the names of their files."""

    base_index: int
    last_index: int
    term_runs: list[tuple[int, int]]
    last_time: int
    configurations: list[Entry]
    hard_state: HardState
    cluster_id: str
    last_segment: LastSegment | None
    carried: list[tuple[int, bytes]]
    reports: list[str]
    bytes: int
    places: list[tuple[str, int, int]]


def found_on(disk: Disk, data_dir: Path = DIRECTORY) -> Found:
    """Recover the log as a compaction does: with the indexes that are there; those that are not are made."""
    log = recover(disk, data_dir, "", True, None, beside="test")
    base_index = log.positions.base_index
    positions = list(log.positions.get_many(sorted({*log.positions._sparse.indexes})))
    if log.positions.last_index > base_index:
        positions += log.positions.get_range(base_index + 1, log.positions.last_index)
    places = [(log.files.name(slot), offset, length) for slot, offset, length in map(unpack, positions)]
    return Found(
        base_index, log.last_index, log.term_runs, log.last_time, log.configurations, log.hard_state, log.cluster_id,
        log.last_segment, log.carried, log.reports, log.files.bytes, places,
    )  # fmt: skip


def found_without_indexes(disk: PowerDisk, data_dir: Path = DIRECTORY) -> Found:
    """The same of a copy that has none of them."""
    copy = PowerDisk()
    for name, data in disk.content().items():
        if not indexed_by(name):
            copy.write(data_dir / name, data)
    return found_on(copy, data_dir)
