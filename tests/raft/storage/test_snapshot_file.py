"""The file of a snapshot, line by line."""

import json
from pathlib import Path
from random import Random
from zlib import crc32

import pytest

from raft.core.entries import RECORD_BYTES_MAX
from raft.errors import InvalidMessage
from raft.storage.file_names import checkpoint_index, checkpoint_name, is_temporary, snapshot_index, snapshot_name
from raft.storage.snapshot_file import WRITE_STEP_BYTES, Scan, document_lines, file_steps, scan_file
from tests.raft.checkpoints import take
from tests.raft.disks import entries
from tests.raft.power import Killed, PowerDisk
from tests.raft.storage.test_snapshots import CONFIGURATION, DIRECTORY, DOCUMENT, meta_of, snapshot_bytes

LOG = entries(1, 30, text="x" * 200)


def test_every_line_is_a_checksum_and_json() -> None:
    data = snapshot_bytes(LOG, 25, [3, 9], "aa")
    lines = data.splitlines()
    assert all(int(line[:8], 16) == crc32(line[9:]) and line[8:9] == b" " for line in lines)
    header, *document, count, first, second, end = (json.loads(line[9:]) for line in lines)
    assert header == {
        "format": 1,
        "snapshot": "snapshot-000000000000025.jsonl",
        "cluster_id": "aa",
        "index": 25,
        "term": 1,
        "time": LOG[24].time,
        "configuration_index": 1,
        "configuration": json.loads(CONFIGURATION),
    }
    assert document == [json.loads(line) for line in DOCUMENT]
    assert count == {"entries": 2}
    assert [first["index"], second["index"]] == [3, 9]
    offset = data.rindex(b"\n", 0, -1) + 1
    assert end == {"end": offset, "crc": f"{crc32(data[:offset]):08x}"}


@pytest.mark.parametrize("piece_bytes", [1 << 20, 700, 1])
def test_a_scan_takes_pieces_of_any_size(piece_bytes: int) -> None:
    data = snapshot_bytes(LOG, 25, range(1, 26))
    scan = Scan(snapshot_name(25))
    size = piece_bytes
    while not scan.whole:
        taken = scan.feed(data[scan.offset : scan.offset + size])
        size = piece_bytes if taken else size + piece_bytes  # a line that is longer
    assert (scan.offset, scan.meta) == (len(data), meta_of(LOG, 25))
    assert list(scan.sparse.indexes) == list(range(1, 26))


def test_a_long_document_is_read_back_as_it_was_written() -> None:
    disk, line = PowerDisk(), b'{"x":"%b"}' % (b"y" * (RECORD_BYTES_MAX - 18))
    document = [line] * 20
    name = checkpoint_name(25)
    take(file_steps(disk, DIRECTORY, name, "", meta_of(LOG, 25), document))
    assert scan_file(disk, DIRECTORY, name).offset == len(disk.content()[name])
    assert list(document_lines(disk, DIRECTORY / name)) == document


def test_a_file_is_made_in_steps_of_many_short_lines_or_a_long_one() -> None:
    disk, short, long = PowerDisk(), [b'{"x":"%b"}' % (b"y" * 92)] * 10_000, [b'{"x":"%b"}' % (b"y" * 500_000)] * 10
    name = checkpoint_name(25)
    steps = sum(1 for _ in file_steps(disk, DIRECTORY, name, "", meta_of(LOG, 25), short + long))
    assert steps <= len(short) * 110 // WRITE_STEP_BYTES + len(long) + 2
    assert steps >= len(short) * 100 // WRITE_STEP_BYTES + len(long)


def test_an_end_without_the_entries_is_no_snapshot_and_one_with_them_no_checkpoint() -> None:
    disk = PowerDisk()
    take(file_steps(disk, DIRECTORY, snapshot_name(25), "", meta_of(LOG, 25), DOCUMENT))
    take(file_steps(disk, DIRECTORY, checkpoint_name(25), "", meta_of(LOG, 25), DOCUMENT, (0, [])))
    for name in (snapshot_name(25), checkpoint_name(25)):
        with pytest.raises(InvalidMessage):
            scan_file(disk, DIRECTORY, name)


def test_what_is_written_in_vain_is_taken_away() -> None:
    disk = PowerDisk()

    def records() -> list[bytes]:
        raise LookupError("gone")

    with pytest.raises(LookupError):
        take(
            file_steps(
                disk, DIRECTORY, snapshot_name(25), "", meta_of(LOG, 25), DOCUMENT, (1, (one for one in records()))
            )
        )
    assert disk.content() == {}


def test_a_file_has_its_name_only_when_it_is_durable() -> None:
    whole = snapshot_bytes(LOG, 25, [1, 2, 3])
    for steps in range(100):
        disk, left = PowerDisk(), iter(range(steps))

        def hook(operation: str, name: str, left=left) -> None:  # type: ignore[no-untyped-def]
            if next(left, None) is None:
                raise Killed

        disk.hook = hook
        try:
            take(
                file_steps(
                    disk, DIRECTORY, snapshot_name(25), "", meta_of(LOG, 25), DOCUMENT, (3, [e.record for e in LOG[:3]])
                )
            )
        except Killed:
            for seed in range(10):
                assert disk.cut(Random(seed)).content().get(snapshot_name(25)) in (None, whole)
        else:
            assert disk.cut(Random(0)).content() == {snapshot_name(25): whole}
            return
    raise AssertionError("never done")


def test_names_tell_what_a_file_is() -> None:
    assert snapshot_name(7) == "snapshot-000000000000007.jsonl"
    assert [snapshot_index(name) for name in (snapshot_name(7), checkpoint_name(7), "snapshot-7.jsonl")] == [7, 0, 0]
    assert [checkpoint_index(name) for name in (snapshot_name(7), checkpoint_name(7), "x")] == [0, 7, 0]
    assert [is_temporary(snapshot_name(7) + end) for end in (".tmp", ".123.tmp", ".received.tmp", "", ".bak")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not is_temporary(str(Path("notes.tmp")))
