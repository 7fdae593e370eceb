"""What a start cuts and reports, what it refuses: a log torn, holed and flipped at every place."""

import json
import os
import shutil
from itertools import product
from pathlib import Path

import pytest

from raft.core.entries import noop_entry, seal
from raft.core.raft_messages import Entry, HardState
from raft.errors import CorruptLog, StartRefused
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from raft.storage.segment import Header, Sealed, encode_header
from tests.raft.disks import UnsyncedDisk, content, entries, entry, written
from tests.raft.power import PowerDisk
from tests.support.slicing import some

PAGE_BYTES = 4096
DURABLE = [*entries(1, 4), *entries(5, 8, term=2)]
DURABLE_STATE = HardState(2, 3, 4)


class TornLog:
    """A log killed within its last batch, of which any damage can be tried."""

    def __init__(self, data_dir: Path, last_batch: list[Entry]) -> None:
        self.data_dir = data_dir
        self.last_batch = last_batch
        storage = Storage.open(UnsyncedDisk(), data_dir)
        storage.append(HardState(1, 1, 0), DURABLE[:4])
        storage.append(DURABLE_STATE, DURABLE[4:])
        (self.path,) = data_dir.iterdir()
        self.start = self.path.stat().st_size
        storage.append(HardState(3, 2, 12), last_batch)
        self.whole = self.path.read_bytes()
        commit_index = min(12, min(one.index for one in last_batch) - 1)
        self.states = (DURABLE_STATE, HardState(3, 2, commit_index))  # the batch's opening was lost, or is there
        self.prefixes = [written(DURABLE, last_batch[:count]) for count in range(len(last_batch) + 1)]

    def opens_to_a_prefix(self, damaged: bytes) -> int:
        """Start on this content, twice: how many records of the last batch were kept."""
        disk = PowerDisk()  # in memory: there are hundreds of damages
        disk.write(self.path, damaged)
        storage = Storage.open(disk, self.data_dir)
        log = content(storage)
        assert log in self.prefixes
        state = storage.recovered.hard_state
        assert state in self.states
        again = Storage.open(disk, self.data_dir)  # the first start was killed before it did anything
        assert (content(again), again.recovered.hard_state, again.recovered.reports) == (log, state, ())
        storage.close()
        again.close()
        return self.prefixes.index(log)


def test_a_log_torn_at_every_byte_of_its_last_batch_recovers_to_a_prefix(tmp_path: Path) -> None:
    log = TornLog(tmp_path, [*entries(9, 10, term=3), *entries(7, 9, term=4)])
    kept = [log.opens_to_a_prefix(log.whole[:size]) for size in range(log.start, len(log.whole) + 1)]
    assert kept == sorted(kept)
    assert set(kept) == set(range(6))


def test_a_log_with_zeros_from_any_byte_of_its_last_batch_on_recovers_to_a_prefix(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(8, 10, term=3))
    for size in some(range(log.start, len(log.whole))):
        log.opens_to_a_prefix(log.whole[:size] + bytes(len(log.whole) - size))


def test_a_log_without_any_subset_of_its_last_batchs_pages_recovers_to_a_prefix(tmp_path: Path) -> None:
    log = TornLog(tmp_path, [*entries(9, 15, term=3, text="x" * 1500), *entries(8, 11, term=4, text="y" * 2500)])
    first = log.start // PAGE_BYTES
    pages = len(log.whole) // PAGE_BYTES - first + 1
    assert pages == 6
    kept = set()
    for missing in product((False, True), repeat=pages):
        damaged = bytearray(log.whole)
        for page in (first + place for place, gone in enumerate(missing) if gone):
            start, end = max(page * PAGE_BYTES, log.start), min((page + 1) * PAGE_BYTES, len(log.whole))
            damaged[start:end] = bytes(end - start)
        kept.add(log.opens_to_a_prefix(bytes(damaged)))
    assert {0, len(log.last_batch)} < kept


def test_what_is_cut_is_reported_and_stays_in_the_file(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(9, 12, term=3))
    torn = log.whole[:-100]
    log.path.write_bytes(torn)
    (report,) = Storage.open(RealDisk(), tmp_path).recovered.reports
    assert report.startswith(f"{log.path}: cut ")
    assert " bytes at byte " in report
    assert log.path.read_bytes() == torn


def test_a_cut_entry_never_comes_back(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(9, 12, term=3))
    hole = log.whole.index(entry(10, 3).record)
    log.path.write_bytes(log.whole[:hole] + bytes(10) + log.whole[hole + 10 :])
    storage = Storage.open(RealDisk(), tmp_path)
    assert storage.last_index == 9
    storage.append(None, entries(10, 10, term=4))
    for _ in range(2):
        storage = Storage.open(RealDisk(), tmp_path)
        assert content(storage) == [*DURABLE, entry(9, 3), entry(10, 4)]


def test_a_truncation_followed_by_a_new_segment_never_brings_an_old_entry_back(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path, segment_bytes=360)
    storage.append(None, entries(1, 8))
    storage.append(None, entries(3, 4, term=2))  # in a new segment
    expected = [*entries(1, 2), *entries(3, 4, term=2)]
    for _ in range(3):
        storage = Storage.open(RealDisk(), tmp_path, segment_bytes=360)
        assert content(storage) == expected
    storage.append(None, entries(5, 5, term=3))
    storage.append(None, entries(2, 2, term=4))
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == [entry(1), entry(2, 4)]


def test_a_torn_rewind_does_not_pass_old_entries_off_as_committed(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(7, 12, term=3))
    log.path.write_bytes(log.whole[: log.whole.index(entry(7, 3).record)])
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == DURABLE  # its 7 and 8 conflict with what the leader has committed
    assert storage.recovered.hard_state == HardState(3, 2, 6)


def test_one_flipped_bit_at_every_durable_byte_loses_one_entry_at_most_or_refuses_to_start(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path, segment_bytes=1060)
    for index in range(1, 9):
        storage.append(HardState(1, 1, index - 1), entries(index, index))
    storage = Storage.open(UnsyncedDisk(), tmp_path)  # carries the last batch into a new segment
    storage.append(HardState(2, 2, 8), entries(8, 10, term=2))
    storage.append(HardState(2, 2, 10), [noop_entry(11, 2, 1)])
    log = [*entries(1, 7), *entries(8, 10, term=2), noop_entry(11, 2, 1)]
    first, second, third = sorted(tmp_path.glob("log-*.jsonl"))
    assert _open_with_every_flip(first, first.stat().st_size, log) == {"index": 5, "opening": 5, "header": 1}
    end = json.loads(third.read_bytes().splitlines()[0][9:])["predecessor_end"]
    assert _open_with_every_flip(second, end, log).keys() == {"index", "opening", "header"}
    found = _open_with_every_flip(third, _last_opening(third), log)
    assert found == {"index": 3}  # its header is in no other place, and before entry 8 the term changes
    assert len(content(Storage.open(UnsyncedDisk(), tmp_path))) == 11


def _last_opening(path: Path) -> int:
    data = path.read_bytes()
    return data.rindex(b"\n", 0, data.rindex(b'{"durable"')) + 1


def _kind(line: bytes) -> str:
    return {b'{"d': "opening", b'{"i': "index", b'{"f': "header"}[line[9:12]]


def _open_with_every_flip(path: Path, end: int, log: list[Entry]) -> dict[str, int]:
    """Flip a bit of each byte below `end`, and start: the lowest one, the one between a and A, and any, in turn.

    Returns of how many lines a start survives the loss, by their kinds; the lines of a kind are alike.
    """
    whole, survived, refused = path.read_bytes(), dict[str, set[int]](), set[int]()
    files = {file: file.read_bytes() for file in path.parent.iterdir()}
    assert end > 250
    for offset in range(end):
        start = whole.rfind(b"\n", 0, offset) + 1
        line = whole[start : whole.index(b"\n", start) + 1]
        flipped = whole[offset] ^ 1 << (0, 5, offset % 8)[offset % 3]
        disk = PowerDisk()  # in memory: there are thousands of flips
        for file, data in files.items():
            disk.write(file, data)
        disk.write(path, whole[:offset] + bytes([flipped]) + whole[offset + 1 :])
        opened = _opened(disk, path.parent)
        if isinstance(opened, CorruptLog):
            assert (opened.file, opened.offset) == (str(path), start)
            assert "remove it from the cluster and add a new node with a new id" in str(opened)
            refused.add(start)
        else:
            starts, lost = survived.setdefault(_kind(line), set()), [one.index for one in log if one.record == line]
            assert opened.recovered.holes == tuple((index, log[index - 1].term) for index in lost)
            if start not in starts or offset == start + len(line) - 1:  # another flip in a line loses the same line
                _check_with_a_hole(opened, log, lost)
            starts.add(start)
    assert not refused & {start for starts in survived.values() for start in starts}
    return {kind: len(starts) for kind, starts in survived.items()}


def _opened(disk: PowerDisk, data_dir: Path) -> Storage | CorruptLog:
    try:
        return Storage.open(disk, data_dir)
    except CorruptLog as refusal:
        return refusal


def _check_with_a_hole(storage: Storage, log: list[Entry], lost: list[int]) -> None:
    """All is as if nothing were lost, but for these entries, which are known to be."""
    assert storage.recovered.holes == tuple((index, log[index - 1].term) for index in lost)
    assert [storage.term_of(one.index) for one in log] == [one.term for one in log]
    assert storage.last_index == len(log)
    rest = [one for one in log if one.index not in lost]
    assert storage.reader.read_many([one.index for one in rest]) == [one.record for one in rest]
    for index in lost:
        with pytest.raises(CorruptLog) as damage:
            storage.reader.read_many([index])
        assert damage.value.indexes == (index,)


def test_what_a_start_carried_over_is_guarded_at_once(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(9, 12, term=3))
    assert Storage.open(RealDisk(), tmp_path).last_index == 12
    _, carrying = sorted(log.data_dir.iterdir())
    assert _open_with_every_flip(carrying, carrying.stat().st_size, [*DURABLE, *entries(9, 12, term=3)]) == {}


def test_damage_to_what_was_carried_over_or_cut_changes_nothing(tmp_path: Path) -> None:
    log = TornLog(tmp_path, entries(9, 12, term=3))
    log.path.write_bytes(log.whole[:-50])
    expected = content(Storage.open(RealDisk(), tmp_path))
    assert len(expected) == 11
    log.path.write_bytes(log.whole[: log.start] + bytes(77))
    assert content(Storage.open(RealDisk(), tmp_path)) == expected
    log.path.write_bytes(log.whole[: log.start])
    assert content(Storage.open(RealDisk(), tmp_path)) == expected


def test_after_a_clean_stop_the_last_batch_is_guarded_too(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 3))
    storage.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes().replace(b"[1,1,3,2]", b"[1,1,7,2]"))
    _check_with_a_hole(Storage.open(RealDisk(), tmp_path), entries(1, 3), [3])


def test_durable_bytes_that_are_missing_at_the_end_of_an_earlier_segment_are_a_hole(tmp_path: Path) -> None:
    first, _, _ = _three_segments(tmp_path)
    os.truncate(first, first.stat().st_size - 1)
    _check_with_a_hole(Storage.open(RealDisk(), tmp_path), entries(1, 3), [1])


@pytest.mark.parametrize("place", [0, 1])
def test_a_missing_segment_is_a_hole(tmp_path: Path, place: int) -> None:
    missing = _three_segments(tmp_path)[place]
    missing.unlink()
    storage = Storage.open(RealDisk(), tmp_path)
    _check_with_a_hole(storage, entries(1, 3), [place + 1])
    (report,) = storage.recovered.reports
    assert report.startswith(f"{missing}: entry {place + 1} is damaged or missing")


def test_two_missing_segments_in_a_row_are_refused_by_name(tmp_path: Path) -> None:
    first, second, third = _three_segments(tmp_path)
    for missing in (first, second):
        missing.unlink()
    with pytest.raises(CorruptLog, match="damaged or missing at byte 0; if this member is one of several") as refusal:
        Storage.open(RealDisk(), tmp_path)
    assert refusal.value.file == str(second)
    assert third.exists()


def test_a_segment_under_another_name_is_refused(tmp_path: Path) -> None:
    _, second, third = _three_segments(tmp_path)
    second.rename(tmp_path / "second")
    third.rename(second)
    (tmp_path / "second").rename(third)
    with pytest.raises(CorruptLog, match="the header is that of"):
        Storage.open(RealDisk(), tmp_path)


def test_a_segment_that_does_not_fit_its_predecessor_is_refused(tmp_path: Path) -> None:
    first, *_ = _three_segments(tmp_path)
    stray = Header("log-00000002-000000000000099.jsonl", "", HardState(), first.name, Sealed(first.stat().st_size), 0)
    (tmp_path / stray.name).write_bytes(encode_header(stray))
    with pytest.raises(CorruptLog, match=f"the header follows {first.name}, not "):
        Storage.open(RealDisk(), tmp_path)


def test_a_gap_in_the_indexes_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 3))
    (path,) = tmp_path.iterdir()
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(entry(5).record)
    with pytest.raises(CorruptLog, match=f"entry 5 right after entry 3 at byte {size};"):
        Storage.open(RealDisk(), tmp_path)


def test_a_record_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.close()
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(seal(b'{"news":1}'))
    with pytest.raises(CorruptLog, match="a record of an unknown kind"):
        Storage.open(RealDisk(), tmp_path)


@pytest.mark.parametrize("format", [0, 2])
def test_a_log_of_another_format_is_refused_with_words(tmp_path: Path, format: int) -> None:
    path = tmp_path / "log-00000001-000000000000001.jsonl"
    path.write_bytes(seal(b'{"format":%d,"anything":"else"}' % format))
    words = f"format {format}, and this program knows format 1; start the version that wrote it"
    with pytest.raises(StartRefused, match=words) as refusal:
        Storage.open(RealDisk(), tmp_path)
    assert not isinstance(refusal.value, CorruptLog)


def test_a_segment_of_another_cluster_is_refused(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 1))
    storage.set_cluster_id("aa")
    storage.close()
    Storage.open(RealDisk(), tmp_path, "aa").close()
    with pytest.raises(CorruptLog, match="the segment is of cluster aa, not bb"):
        Storage.open(RealDisk(), tmp_path, "bb")


def test_a_member_of_a_cluster_is_not_started_without_its_log(tmp_path: Path) -> None:
    with pytest.raises(CorruptLog, match="its log is missing"):
        Storage.open(RealDisk(), tmp_path, "aa")
    with pytest.raises(CorruptLog, match="its log is missing"):
        Storage.open(RealDisk(), tmp_path, must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_other_files_and_left_overs_do_not_matter(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 3))
    storage.close()
    (path,) = tmp_path.iterdir()
    (tmp_path / "log-00000002-000000000000004.jsonl.tmp").write_bytes(b"half a hea")
    (tmp_path / "notes.txt").write_bytes(b"mine")
    shutil.copy(path, tmp_path / (path.name + ".bak"))
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == entries(1, 3)
    assert (tmp_path / "notes.txt").read_bytes() == b"mine"
    assert list(tmp_path.glob("*.tmp")) == []
    storage.close()


def test_a_directory_that_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "log-00000001-000000000000001.jsonl").mkdir()
    with pytest.raises(StartRefused, match="cannot be read"):
        Storage.open(RealDisk(), tmp_path)


def _three_segments(data_dir: Path) -> list[Path]:
    storage = Storage.open(RealDisk(), data_dir, segment_bytes=460)
    for index in range(1, 4):
        storage.append(HardState(1, 1, index - 1), entries(index, index))
    assert storage.last_index == 3
    storage.close()
    paths = sorted(data_dir.iterdir())
    assert len(paths) >= 3
    return paths[:3]


def test_a_start_tells_its_progress_every_few_mib_however_long_the_entries_are(tmp_path: Path) -> None:
    """It is how a signal ends a long start."""
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 200, text="x" * 30_000))
    storage.close()
    told: list[tuple[int, int]] = []
    Storage.open(UnsyncedDisk(), tmp_path, progress=lambda done, total: told.append((done, total))).close()
    assert len(told) == told[0][1] >> 20
    assert [done for done, _ in told] == sorted(done for done, _ in told)
