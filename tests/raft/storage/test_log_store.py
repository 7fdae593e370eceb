"""The log on disk as its user sees it: appended, read, replayed, reopened."""

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import pytest

from raft.core.entries import RECORD_BYTES_MAX, command_entry, configuration_entry, decode_entry, noop_entry
from raft.core.raft_messages import Entry, HardState
from raft.errors import CorruptLog, DiskFull
from raft.storage.disk import NoRoom, RealDisk
from raft.storage.log_store import Storage
from tests.raft.disks import HookedDisk, UnsyncedDisk, content, entries, entry, written


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    found = storage.recovered
    assert found.hard_state == HardState()
    assert (found.last_index, found.term_runs, found.last_time, found.configurations, found.reports) == (
        0,
        (),
        0,
        (),
        (),
    )
    assert storage.last_index == 0
    storage.close()


def test_what_was_appended_is_there_after_a_clean_stop(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    storage.append(HardState(2, 3, 3), entries(4, 5, term=2))
    storage.append(HardState(2, 3, 5), [])
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path)
    assert storage.recovered.hard_state == HardState(2, 3, 5)
    assert storage.recovered.last_index == storage.last_index == 5
    assert storage.recovered.term_runs == ((1, 1), (4, 2))
    assert storage.recovered.last_time == entry(5, 2).time
    assert storage.recovered.reports == ()
    assert content(storage) == [*entries(1, 3), *entries(4, 5, term=2)]
    storage.close()


def test_what_was_appended_is_there_after_a_kill(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    after = Storage.open(RealDisk(), tmp_path)
    assert (after.recovered.hard_state, after.recovered.reports) == (HardState(1, 1, 0), ())
    assert content(after) == entries(1, 3)
    storage.close()
    after.close()


def test_hard_state_needs_no_entries_and_stays_where_none_is_given(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(7, 2, 0), [])
    storage.append(None, entries(1, 1, term=7))
    storage.close()
    assert Storage.open(RealDisk(), tmp_path).recovered.hard_state == HardState(7, 2, 0)


def test_an_entry_replaces_those_at_its_index_and_above(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 0, 0), entries(1, 5))
    storage.append(HardState(3, 0, 0), [*entries(3, 6, term=2), *entries(4, 5, term=3)])
    expected = [*entries(1, 2), entry(3, 2), *entries(4, 5, term=3)]
    assert content(storage) == expected
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == expected
    assert storage.recovered.term_runs == ((1, 1), (3, 2), (4, 3))
    storage.close()


def test_configurations_that_were_replaced_are_not_recovered(tmp_path: Path) -> None:
    first = configuration_entry(1, 1, 1, b'{"Members":[1]}')
    second = configuration_entry(3, 1, 1, b'{"Members":[2]}')
    third = configuration_entry(4, 2, 1, b'{"Members":[3]}')
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(), [first, noop_entry(2, 1, 1), second])
    storage.append(HardState(), [noop_entry(2, 2, 1), entry(3, 2), third])
    storage.close()
    assert Storage.open(RealDisk(), tmp_path).recovered.configurations == (first, third)


def test_a_commit_index_beyond_the_log_is_not_believed(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 0, 9), entries(1, 3))
    storage.close()
    assert Storage.open(RealDisk(), tmp_path).recovered.hard_state.commit_index == 3


def test_records_are_read_verbatim_as_many_as_fit(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    log = entries(1, 50)
    storage.append(None, log[:20])
    storage.append(None, log[20:])
    assert storage.reader.read(10, 30, 1 << 20) == [one.record for one in log[9:30]]
    assert storage.reader.read(10, 30, 0) == [log[9].record]
    some = storage.reader.read(10, 50, 1000)
    assert 1 < len(some) < 20
    assert sum(map(len, some)) <= 1000
    assert storage.reader.read_entries(10, 30, 1 << 20) == log[9:30]
    assert len(storage.reader.read_entries(10, 50, 1000)) == len(some)
    assert storage.reader.read_many([1, 2, 17, 21, 50]) == [log[index - 1].record for index in (1, 2, 17, 21, 50)]
    assert storage.reader.read_many([]) == []
    storage.close()


def test_an_index_that_the_log_does_not_hold_is_a_lookup_error(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 5))
    storage.append(None, entries(2, 2, term=2))
    for first, last in ((0, 1), (1, 3), (3, 3)):
        with pytest.raises(LookupError):
            storage.reader.read(first, last, 1 << 20)
        with pytest.raises(LookupError):
            storage.reader.read_many([first, last])
    storage.close()


def test_the_largest_record_is_kept(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    frame = len(entry(1, text="").record)
    log = entries(1, 5, text="x" * (RECORD_BYTES_MAX - frame))
    assert len(log[0].record) == RECORD_BYTES_MAX
    storage.append(None, log)
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == log
    storage.close()


def test_what_the_disk_garbles_after_the_start_is_never_handed_out(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 3))
    (path,) = tmp_path.glob("log-*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"sequence":2', b'"sequence":3').replace(b"[1,1,2,1]", b"[1,1,9,1]"))
    for read in (storage.reader.read, storage.reader.read_entries):
        with pytest.raises(CorruptLog, match="entry 2 is damaged at byte"):
            read(1, 3, 1 << 20)
    assert storage.reader.read_many([1, 3]) == [entry(1).record, entry(3).record]
    storage.close()


def test_an_entry_that_is_whole_and_another_than_was_asked_for_is_damage(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, entries(1, 3))
    (path,) = tmp_path.glob("log-*.jsonl")
    path.write_bytes(path.read_bytes().replace(entry(2).record, entry(3).record))
    for read in (storage.reader.read, storage.reader.read_entries):
        with pytest.raises(CorruptLog, match="entry 2 is damaged at byte"):
            read(1, 3, 1 << 20)
    storage.close()


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path, segment_bytes=2000)
    log = entries(1, 100)
    for start in range(0, 100, 5):
        storage.append(HardState(1, 1, start), log[start : start + 5])
    names = sorted(path.name for path in tmp_path.glob("*.jsonl"))
    assert names[:2] == ["log-00000001-000000000000001.jsonl", "log-00000002-000000000000021.jsonl"]
    assert all(path.stat().st_size < 2600 for path in tmp_path.glob("*.jsonl"))
    assert storage.bytes_on_disk == sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    assert content(storage) == log
    assert storage.reader.read_many(range(1, 101, 9)) == [one.record for one in log[::9]]
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path, segment_bytes=2000)
    assert content(storage) == log
    assert storage.bytes_on_disk == sum(path.stat().st_size for path in tmp_path.glob("*.jsonl"))
    storage.close()


def test_a_segment_that_is_to_end_is_followed_by_another_with_what_is_written_next(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    log = entries(1, 20)
    storage.append(HardState(1, 1, 0), log[:10])
    storage.end_segment()
    assert storage.newest_segment_index == 1
    for start in (10, 15):
        storage.append(HardState(1, 1, start), log[start : start + 5])
        assert storage.newest_segment_index == 11
    assert content(storage) == log
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path)
    assert content(storage) == log
    storage.close()


def test_restarts_without_entries_do_not_fill_the_directory(tmp_path: Path) -> None:
    for term in range(1, 10):
        storage = Storage.open(UnsyncedDisk(), tmp_path)
        storage.append(HardState(term, term, 0), [])
        assert storage.recovered.hard_state == HardState(term - 1, term - 1, 0)
        assert storage.bytes_on_disk == sum(path.stat().st_size for path in tmp_path.iterdir())
        if term % 2:
            storage.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path, segment_bytes=100)
    storage.append(None, entries(1, 3))
    storage.append(None, entries(4, 5))
    storage.close()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_every_line_is_a_checksum_and_json(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.set_cluster_id("c1")
    storage.append(HardState(4, 2, 1), entries(1, 2))
    storage.close()
    storage = Storage.open(RealDisk(), tmp_path, "c1")
    storage.close()
    lines = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir())).splitlines()
    assert all(int(line[:8], 16) == crc32(line[9:]) and line[8:9] == b" " for line in lines)
    values = [json.loads(line[9:]) for line in lines]
    assert [next(iter(value)) for value in values] == [
        "format",
        "durable",
        "index",
        "index",
        "durable",
        "format",
        "durable",
    ]
    assert (values[0]["cluster_id"], values[5]["cluster_id"]) == ("", "c1")
    assert values[5]["predecessor"] == values[0]["segment"]
    assert [values[5][name] for name in ("term", "vote", "commit")] == [4, 2, 1]


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.close()
    storage.close()


def test_a_long_start_tells_how_far_it_is(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path)
    storage.append(None, entries(1, 40_000))
    storage.close()
    bytes_told: list[tuple[int, int]] = []
    entries_told: list[tuple[int, int]] = []
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    storage = Storage.open(UnsyncedDisk(), tmp_path, progress=lambda done, total: bytes_told.append((done, total)))
    assert len(list(storage.reader.replay(1, 40_000, lambda done, total: entries_told.append((done, total))))) == 40_000
    assert bytes_told == sorted(bytes_told)
    assert {total for _, total in bytes_told} == {size}
    assert entries_told[-1] == (40_000, 40_000)
    storage.close()


def test_readers_never_see_a_torn_entry_while_the_log_is_rewound(tmp_path: Path) -> None:
    storage = Storage.open(UnsyncedDisk(), tmp_path, segment_bytes=20_000)
    settled = entries(1, 50, text="settled")
    storage.append(None, settled)
    stop = threading.Event()

    def read_until_stopped() -> None:
        while not stop.is_set():
            _check_reads(storage, settled)

    with ThreadPoolExecutor(3) as pool:
        readers = [pool.submit(read_until_stopped) for _ in range(3)]
        try:
            log = _rewind_often(storage, settled)
        finally:
            stop.set()
        for reader in readers:
            reader.result(10)
    assert content(storage) == log
    storage.close()


def _rewind_often(storage: Storage, log: list[Entry]) -> list[Entry]:
    for term in range(2, 300):
        first = min(51 + term % 7, len(log) + 1)
        batch = entries(first, first + term % 11 + 3, term, text="x" * (term * 13 % 400))
        storage.append(None, batch)
        log = written(log, batch)
    return log


def _check_reads(storage: Storage, settled: list[Entry]) -> None:
    last = storage.last_index
    try:
        records = storage.reader.read(45, last, 1 << 20)
        many = storage.reader.read_many([1, 30, last])
    except LookupError:  # it was rewound in between
        return
    assert [decode_entry(record).index for record in records] == list(range(45, 45 + len(records)))
    assert records[:6] == [one.record for one in settled[44:]]
    assert many[:2] == [settled[0].record, settled[29].record]
    assert decode_entry(many[2]).index == last


def test_what_the_log_says_of_time_and_terms_comes_from_what_is_left(tmp_path: Path) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(None, [*entries(1, 2), *entries(3, 4, term=2), *entries(5, 6, term=3)])
    storage.append(None, [command_entry(4, 4, 77, entry(4).id, b"{}")])  # type: ignore[arg-type]
    storage.close()
    found = Storage.open(RealDisk(), tmp_path).recovered
    assert (found.term_runs, found.last_time) == (((1, 1), (3, 2), (4, 4)), 77)


def test_a_write_under_way_has_an_age_also_until_it_fails_for_want_of_room(tmp_path: Path) -> None:
    ages = list[bool]()
    disk = HookedDisk(lambda operation, path: None)
    storage = Storage.open(disk, tmp_path)
    full = False

    def look(operation: str, path: Path) -> None:
        ages.append(storage.write_age_s > 0)
        if full:
            raise NoRoom(28, "no room", str(path))

    disk.hook = look
    assert storage.write_age_s == 0
    storage.append(HardState(1, 1, 0), entries(1, 3))
    assert ages and all(ages) and storage.write_age_s == 0
    full = True
    with pytest.raises(DiskFull):
        storage.append(HardState(1, 1, 0), entries(4, 5))
    assert all(ages) and storage.write_age_s == 0
