"""What a read says of damage: every damaged entry of it, whatever the damage is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from raft.core.line_blocks import BLOCK_BYTES
from raft.core.raft_messages import HardState
from raft.errors import CorruptLog
from raft.storage.log_store import Storage
from raft.storage.reader import Borrowed
from tests.raft.disks import BadDisk, entries, entry

LOG = entries(1, 30, text="x" * 200)


@pytest.fixture
def disk() -> BadDisk:
    return BadDisk()


@pytest.fixture
def storage(tmp_path: Path, disk: BadDisk) -> Storage:
    storage = Storage.open(disk, tmp_path, segment_bytes=3000)
    for start in range(0, 30, 3):
        storage.append(HardState(1, 1, start), LOG[start : start + 3])
    return storage


def place(data_dir: Path, index: int) -> tuple[Path, int]:
    """The file that holds the entry, and the offset of its record."""
    (path,) = (path for path in data_dir.glob("log-*") if LOG[index - 1].record in path.read_bytes())
    return path, path.read_bytes().index(LOG[index - 1].record)


def flip(disk: BadDisk, path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset + 40] ^= 4
    path.write_bytes(data)


def zero(disk: BadDisk, path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset + 5 : offset + 15] = bytes(10)
    path.write_bytes(data)


def shorten(disk: BadDisk, path: Path, offset: int) -> None:
    path.write_bytes(path.read_bytes()[: offset + 20])


def go_bad(disk: BadDisk, path: Path, offset: int) -> None:
    disk.bad.add((path.name, offset + 30))


def remove(disk: BadDisk, path: Path, offset: int) -> None:
    path.unlink()


DAMAGES = [(flip, "is damaged"), (zero, "is damaged"), (shorten, "is damaged"), (go_bad, "cannot be read"),
           (remove, "is missing with its file")]  # fmt: skip
Damage = Callable[[BadDisk, Path, int], None]


@pytest.mark.parametrize(("damage", "word"), DAMAGES)
def test_a_read_names_the_damaged_entry_and_those_that_can_be_read_still_are(
    tmp_path: Path, disk: BadDisk, storage: Storage, damage: Damage, word: str
) -> None:
    path, offset = place(tmp_path, 9)
    damage(disk, path, offset)
    for read in (
        lambda: storage.reader.read_many([9, 29]),
        lambda: storage.reader.read(9, 9, 1),
        lambda: storage.reader.read_entries(9, 9, 1),
        lambda: list(storage.reader.replay(9, 9)),
        lambda: list(storage.reader.read_pieces([9, 29])),
    ):
        with pytest.raises(CorruptLog, match=f"entry 9 {word}") as found:
            read()
        assert (found.value.file, found.value.offset, found.value.indexes) == (str(path), offset, (9,))
    assert storage.reader.read_many([20, 29]) == [LOG[19].record, LOG[28].record]


def test_a_read_names_all_damaged_entries_of_all_files(tmp_path: Path, disk: BadDisk, storage: Storage) -> None:
    for index, damage in ((4, flip), (5, go_bad), (13, zero), (21, flip), (29, go_bad)):
        damage(disk, *place(tmp_path, index))
    with pytest.raises(CorruptLog, match="entry 4 is damaged") as found:
        storage.reader.read(1, 30, 1 << 20)
    assert found.value.indexes == (4, 5, 13, 21, 29)
    with pytest.raises(CorruptLog) as some:
        storage.reader.read_many([1, 5, 6, 13, 30])
    assert some.value.indexes == (5, 13)


def test_pieces_are_the_records_that_were_asked_for_from_all_files_with_damage_between_them(
    tmp_path: Path, disk: BadDisk, storage: Storage
) -> None:
    assert b"".join(storage.reader.read_pieces(range(1, 31))) == b"".join(one.record for one in LOG)
    flip(disk, *place(tmp_path, 13))
    go_bad(disk, *place(tmp_path, 21))
    for wanted in ([5], [3, 4, 12, 14, 19, 22, 30], [1, 30]):
        records = [LOG[index - 1].record for index in wanted]
        assert b"".join(storage.reader.read_pieces(wanted)) == b"".join(records)
    assert list(storage.reader.read_pieces([])) == []
    with pytest.raises(LookupError):
        list(storage.reader.read_pieces([30, 31]))


def test_a_piece_is_no_larger_than_a_block_and_an_entry(tmp_path: Path) -> None:
    storage = Storage.open(BadDisk(), tmp_path, segment_bytes=1 << 20)
    long = [entry(index, text="x" * (index % 3 * 90_000)) for index in range(1, 41)]
    storage.append(HardState(1, 1, 0), long)
    pieces = list(storage.reader.read_pieces(range(1, 41)))
    assert b"".join(pieces) == b"".join(one.record for one in long)
    assert max(map(len, pieces)) <= BLOCK_BYTES + 181_000
    assert len(pieces) < 20


def test_a_missing_file_is_damage_to_all_entries_that_were_asked_of_it(tmp_path: Path, storage: Storage) -> None:
    path, _ = place(tmp_path, 9)
    inside = [one.index for one in LOG if one.record in path.read_bytes()]
    path.unlink()
    with pytest.raises(CorruptLog) as found:
        storage.reader.read(1, 30, 1 << 20)
    assert list(found.value.indexes) == inside


@pytest.mark.parametrize(("damage", "word"), DAMAGES)
def test_what_was_borrowed_stands_in_for_what_is_damaged_and_for_nothing_else(
    tmp_path: Path, disk: BadDisk, storage: Storage, damage: Damage, word: str
) -> None:
    for index in (8, 9):  # in one file
        damage(disk, *place(tmp_path, index))
        if damage in (shorten, remove):
            break
    assert storage.borrow([LOG[7]]) == {8} and storage.is_borrowed(8) and not storage.is_borrowed(9)
    with pytest.raises(CorruptLog, match=f"entry 9 {word}") as found:
        storage.reader.read_many([8, 9, 29])
    assert found.value.indexes == (9,)
    assert storage.borrow([LOG[8]]) == {9}
    assert storage.reader.read_many([8, 9, 29]) == [LOG[7].record, LOG[8].record, LOG[28].record]
    assert storage.reader.read_entries(8, 9, 1 << 20) == LOG[7:9]
    with pytest.raises(CorruptLog):
        storage.own_reader.read_many([8, 9])


@pytest.mark.parametrize("is_same_term", [True, False])
def test_a_borrowed_record_counts_for_no_entry_that_has_replaced_it(
    tmp_path: Path, disk: BadDisk, storage: Storage, is_same_term: bool
) -> None:
    before = entry(30, 1, "x" * 200)
    assert storage.borrow([before]) == {30}
    if is_same_term:  # which no leader writes; the other place alone must be enough
        storage.append(HardState(1, 1, 27), [entry(30, 1, "y" * 200)])
    else:
        storage._term_runs.note([entry(30, 2)])  # between two steps of an append; the other term alone must be enough
    for path in tmp_path.glob("log-*"):
        path.unlink()
    with pytest.raises(CorruptLog):
        storage.reader.read_many([30])


def test_a_record_of_another_length_is_not_borrowed(storage: Storage) -> None:
    assert storage.borrow([entry(9, 1, "x" * 500), entry(40, 1, "x" * 200)]) == set()


def test_the_oldest_borrowed_records_are_dropped_beyond_a_size(storage: Storage) -> None:
    size = len(LOG[9].record)
    borrowed = Borrowed(storage._positions, storage.term_of, bytes_max=2 * size + 50)
    for _ in range(2):
        assert borrowed.put(LOG[9:12]) == {10, 11, 12}
    assert [borrowed.has(index) for index in (10, 11, 12)] == [False, True, True]
