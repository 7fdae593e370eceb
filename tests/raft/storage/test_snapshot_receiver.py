"""A snapshot taken in piece by piece: whatever comes, only the right file is ever finished."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.entries import seal
from raft.errors import DiskFailed, InvalidMessage
from raft.storage.file_names import is_temporary
from raft.storage.snapshot_receiver import SnapshotReceiver
from tests.raft.disks import entries
from tests.raft.power import PowerDisk
from tests.raft.storage.test_snapshots import DIRECTORY, meta_of, snapshot_bytes
from tests.support.slicing import examples

LOG = entries(1, 30)
LIVE = [1, 7, 8, 20, 25]
WHOLE = snapshot_bytes(LOG, 25, LIVE, "aa")


def receiver(disk: PowerDisk, cluster_id: str = "aa", term: int = 1, bytes_total: int = len(WHOLE)) -> SnapshotReceiver:
    return SnapshotReceiver(disk, DIRECTORY, cluster_id, 25, term, bytes_total)


def cut_into_lines(rng: Random) -> list[tuple[int, bytes]]:
    """(offset, chunk) of some lines each."""
    chunks, offset = [], 0
    lines = WHOLE.splitlines(keepends=True)
    while lines:
        count = rng.randint(1, 4)
        chunk = b"".join(lines[:count])
        chunks.append((offset, chunk))
        offset += len(chunk)
        del lines[:count]
    return chunks


@settings(deadline=None, max_examples=examples(60))
@given(st.integers())
def test_lost_doubled_overtaken_and_damaged_chunks_change_nothing(seed: int) -> None:
    rng, disk = Random(seed), PowerDisk()
    taking, chunks = receiver(disk), dict(cut_into_lines(rng))
    while taking.offset < len(WHOLE):
        offset = rng.choice([taking.offset, *chunks])
        chunk = bytearray(chunks.get(offset) or WHOLE[offset:])
        if rng.random() < 0.3:
            chunk[rng.randrange(len(chunk))] ^= 1 << rng.randrange(8)
            _write_damaged(taking, offset, bytes(chunk))
        else:
            taking.write(offset, bytes(chunk))
        assert disk.content()[taking.temporary_name] == WHOLE[: taking.offset]
    assert taking.finish() == meta_of(LOG, 25)
    assert disk.cut(Random(0)).content().get(taking.temporary_name) in (WHOLE, None)
    finished = taking.finished()
    assert finished is not None
    assert list(finished[1].indexes) == LIVE


def _write_damaged(taking: SnapshotReceiver, offset: int, chunk: bytes) -> None:
    if offset != taking.offset:
        taking.write(offset, chunk)
    else:
        with pytest.raises(InvalidMessage, match="damaged or not whole"):
            taking.write(offset, chunk)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (WHOLE.replace(b'"rooms"', b'"roomz"'), "damaged"),
        (seal(b'{"format":1}'), "the header is that of None"),
        (seal(b'{"format":2}'), "format 2"),
        (seal(b"[]"), "damaged"),
        (WHOLE + WHOLE, "of a snapshot with"),
        (snapshot_bytes(LOG, 24, LIVE[:4], "aa"), "the header is that of snapshot-000000000000024"),
        (snapshot_bytes(LOG, 25, LIVE, "bb"), "cluster 'bb'"),
        (snapshot_bytes(entries(1, 30, term=2), 25, LIVE, "aa"), "of term 2"),
    ],
)
def test_what_is_no_such_snapshot_is_refused(lines: bytes, why: str) -> None:
    disk = PowerDisk()
    taking = receiver(disk)
    with pytest.raises(InvalidMessage, match=why):
        taking.write(0, lines)
    with pytest.raises(InvalidMessage):
        taking.finish()
    assert taking.finished() is None


def lines_of(*changes: tuple[int, bytes]) -> bytes:
    """The snapshot with some lines in place of others."""
    lines = WHOLE.splitlines(keepends=True)
    for place, line in changes:
        lines[place] = line
    return b"".join(lines)


FIRST_ENTRY = 4  # behind header, two lines of document, and the count


@pytest.mark.parametrize(
    "lines",
    [
        lines_of((FIRST_ENTRY, LOG[19].record)),  # indexes fall
        lines_of((FIRST_ENTRY + 4, LOG[25].record)),  # beyond the snapshot
        lines_of((FIRST_ENTRY, seal(b'{"index":1,"term":1,"time":1,"else":0}'))),
        lines_of((FIRST_ENTRY, entries(1, 1, term=7)[0].record)),
        lines_of((FIRST_ENTRY, seal(b'{"news":1}'))),
        lines_of((FIRST_ENTRY, b"")),
        lines_of((FIRST_ENTRY - 1, b"")),
        lines_of((FIRST_ENTRY - 2, b"")),
        lines_of((FIRST_ENTRY - 2, seal(b'{"rooms":3}'))),
    ],
)
def test_a_snapshot_whose_parts_do_not_fit_is_refused(lines: bytes) -> None:
    taking = receiver(PowerDisk())
    with pytest.raises(InvalidMessage):  # noqa: PT012  some show at once, some only in the end
        taking.write(0, lines)
        taking.finish()
    assert taking.finished() is None


def test_a_snapshot_of_another_size_than_announced_is_not_finished() -> None:
    taking = receiver(PowerDisk(), bytes_total=len(WHOLE) + 1)
    taking.write(0, WHOLE)
    with pytest.raises(InvalidMessage, match="ends at"):
        taking.finish()


def test_two_of_the_same_snapshot_do_not_touch_each_other() -> None:
    disk = PowerDisk()
    other = receiver(disk)
    other.write(0, WHOLE.splitlines(keepends=True)[0])
    taking = receiver(disk)
    assert all(is_temporary(name) for name in disk.content())
    other.drop()
    assert taking.offset == 0
    taking.write(0, WHOLE)
    assert taking.finish() == taking.finish() == meta_of(LOG, 25)


def test_what_was_dropped_takes_nothing_any_more() -> None:
    disk = PowerDisk()
    taking = receiver(disk)
    taking.drop()
    taking.write(0, WHOLE)
    assert disk.content() == {}
    with pytest.raises(InvalidMessage):
        taking.finish()


@pytest.mark.parametrize(("index", "bytes_total"), [(0, 100), (1, 0), (1, 1 << 36), (10**15, 100)])
def test_what_cannot_be_a_snapshot_is_not_begun(index: int, bytes_total: int) -> None:
    with pytest.raises(InvalidMessage):
        SnapshotReceiver(PowerDisk(), Path("/data"), "", index, 1, bytes_total)


@pytest.mark.parametrize("operation", ["append", "append the rest", "fsync"])
def test_a_disk_that_fails_drops_what_was_received(operation: str) -> None:
    disk = PowerDisk()
    taking = receiver(disk)

    def hook(asked: str, name: str) -> None:
        if asked == operation:
            raise OSError("broken")

    disk.hook = hook
    with pytest.raises(DiskFailed, match="broken"):  # noqa: PT012
        taking.write(0, WHOLE)
        taking.finish()
    assert taking.finished() is None
    assert disk.content() == {}
