"""Backup files: what they hold, and that nothing but a whole one is taken for a backup."""

import gzip
import os
from dataclasses import replace
from pathlib import Path

import pytest

from raft.backup import backup_file
from raft.backup.backup_file import BackupCheck, check, document_of, header_of, pieces
from raft.backup.report import BackupInvalid
from raft.backup.writer import write_backup
from raft.core.raft_messages import HardState
from raft.errors import CorruptLog
from raft.storage.log_store import Storage
from tests.raft.compaction.test_compactor import DISK, some_log, store
from tests.raft.disks import entry
from tests.raft.words import Words, live_after

LARGE_BYTES = 1 << 20
STEP_BYTES = 97  # between two bits


def backup_of(directory: Path, index: int = 60) -> Path:
    """A backup of `some_log` up to an index."""
    data_dir = directory / "data"
    data_dir.mkdir()
    store(data_dir, some_log())
    write_backup(DISK, data_dir, directory / "backup", index, Words(), program="1.0", made_at="today", generation="9e")
    return directory / "backup"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup of about a megabyte, with long entries and short ones."""
    directory = tmp_path_factory.mktemp("large")
    storage = Storage.open(DISK, directory)
    log = [entry(index, 1, f"{index:x}-" + "é" * (index % 40 * 90)) for index in range(1, 300)]
    storage.append(HardState(1, 1, 0), log)
    write_backup(DISK, directory, directory / "backup", len(log), Every(), program="1.0", made_at="today")
    return (directory / "backup").read_bytes()


class Every(Words):
    """A state in which every entry is live."""

    def apply(self, entry: object) -> object:
        index = entry.index  # type: ignore[attr-defined]
        self.said[str(index)] = index
        return None


def refusal(data: bytes) -> BackupInvalid:
    """How a check refuses these bytes."""

    def check_all() -> None:
        checked = BackupCheck()
        checked.feed(data)
        checked.finish()

    with pytest.raises(BackupInvalid) as refused:
        check_all()
    return refused.value


def test_a_backup_says_what_it_holds_and_has_the_live_entries_verbatim(tmp_path: Path) -> None:
    log = some_log()
    checked = check(backup_of(tmp_path, 33))
    header = checked.finish()
    assert (header.index, header.term, header.time) == (33, 1, log[32].time)
    assert (header.cluster_id, header.generation, header.program, header.made_at) == ("aa", "9e", "1.0", "today")
    live = live_after(log[:33])
    assert list(checked.entries.indexes) == live
    content = pieces(tmp_path / "backup")
    machine = Words()
    document = document_of(content)
    assert next(document).startswith(b'{"sessions":')
    machine.restore(33, document)
    assert list(machine.live()) == live
    assert b"".join(content) == b"".join(log[index - 1].record for index in live)


def test_one_flipped_bit_anywhere_is_refused(large: bytes) -> None:
    assert len(large) > LARGE_BYTES * 9 // 10
    begun, start, missed, slow = BackupCheck(), 0, [], 0
    for line in large.splitlines(keepends=True):
        for place in range(-start % STEP_BYTES, len(line), STEP_BYTES):
            damaged = bytearray(line)
            damaged[place] ^= 1 << (start + place) % 8
            if is_refused(begun, bytes(damaged)):  # what it refuses changes nothing
                continue
            slow, begun = slow + 1, BackupCheck()  # a bit of the line's end: the next one shows it
            if not is_refused(begun, large[:start], bytes(damaged), large[start + len(line) :]):
                missed.append(start + place)
            begun = BackupCheck()
            begun.feed(large[:start])
        begun.feed(line)
        start += len(line)
    assert missed == []
    assert slow < 2 + start // STEP_BYTES // 100
    assert begun.finish().index == 299


def is_refused(checked: BackupCheck, *pieces: bytes) -> bool:
    """Whether these bytes are refused after those that were sound; more than one piece are the rest of the file."""
    try:
        for piece in pieces:
            checked.feed(piece)
        if len(pieces) > 1:
            checked.finish()
    except BackupInvalid:
        return True
    return False


def test_a_backup_that_ends_early_is_refused_at_the_byte_where_it_ends(large: bytes) -> None:
    last_line = large[:-1].rindex(b"\n") + 1
    for end in (0, 1, 50, 300, len(large) // 2, large.index(b"\n", len(large) // 2) + 1, last_line, len(large) - 1):
        refused = refusal(large[:end])
        assert refused.offset <= end
        assert "ends early" in str(refused) or "damaged" in str(refused)


def test_what_follows_a_backup_is_refused(large: bytes) -> None:
    last = large[large[:-1].rindex(b"\n") + 1 :]
    for more in (b"\n", b"x", last, large):
        assert refusal(large + more).offset >= len(large) - len(last)


def test_a_refusal_names_the_byte_where_the_damaged_line_begins(large: bytes) -> None:
    place = len(large) // 3
    begin = large.rindex(b"\n", 0, place) + 1
    damaged = bytearray(large)
    damaged[place] ^= 1
    assert refusal(bytes(damaged)).offset == begin


def test_a_file_that_is_no_backup_is_called_that(tmp_path: Path, large: bytes) -> None:
    for data in (b"hello\n", b"\0" * 5000, b'0c9d1a3b {"format":1}\n', large[large.index(b"\n") + 1 :]):
        assert "no backup of raft-chat" in str(refusal(data))


def test_two_backups_are_not_mixed(tmp_path: Path) -> None:
    first, second = (backup_of(make(tmp_path / str(index)), index).read_bytes() for index in (40, 60))
    mixed = first[: first.index(b"\n") + 1] + second[second.index(b"\n") + 1 :]
    assert "header" in str(refusal(mixed)) or "first line" in str(refusal(mixed))


def test_a_first_line_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    whole = backup_of(tmp_path).read_bytes()
    first, rest = whole[: whole.index(b"\n") + 1], whole[whole.index(b"\n") + 1 :]
    header = backup_file.decode_header(first)
    assert check_of(backup_file.encode_header(header) + rest)
    for other in (replace(header, cluster_id="bb"), replace(header, term=2), replace(header, time=7)):
        assert "first line" in str(refusal(backup_file.encode_header(other) + rest))


def check_of(data: bytes) -> BackupCheck:
    checked = BackupCheck()
    checked.feed(data)
    checked.finish()
    return checked


def make(directory: Path) -> Path:
    directory.mkdir()
    return directory


def test_another_format_is_refused_by_name(large: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_file, "FORMAT", 2)
    assert "format 1, and this program knows format 2" in str(refusal(large))


def test_a_compressed_backup_is_read_and_one_that_is_damaged_refused(tmp_path: Path, large: bytes) -> None:
    path = tmp_path / "backup.gz"
    compressed = gzip.compress(large, 1)
    path.write_bytes(compressed)
    assert check(path).finish().index == 299
    for place in (20, len(compressed) // 2, len(compressed) - 2):
        damaged = bytearray(compressed)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(BackupInvalid):
            check(path)
    path.write_bytes(compressed[:-9])
    with pytest.raises(BackupInvalid):
        check(path)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for reader in (check, header_of):
        with pytest.raises(OSError, match="a pipe cannot be read twice"):
            reader(tmp_path / "pipe")


def test_the_pieces_in_which_a_backup_comes_do_not_matter(large: bytes) -> None:
    for size in (1 << 10, 4099, 1 << 17):
        checked = BackupCheck()
        for start in range(0, len(large), size):
            checked.feed(large[start : start + size])
        assert checked.finish().index == 299
        assert checked.offset == len(large)


def test_damage_in_the_log_is_never_copied(tmp_path: Path) -> None:
    store(tmp_path, some_log())
    live = live_after(some_log()[:60])
    (path,) = [path for path in tmp_path.glob("log-*.jsonl") if b'"index":%d,' % live[0] in path.read_bytes()]
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"index":%d,"term":1' % live[0], b'"index":%d,"term":2' % live[0]))
    with pytest.raises(CorruptLog):
        write_backup(DISK, tmp_path, tmp_path / "backup", 60, Words(), program="1.0", made_at="today")
    assert not list(tmp_path.glob("backup*"))
