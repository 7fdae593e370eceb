"""The backups of a member: made one at a time, kept for a while, and made in words or not at all."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raft.backup import spool
from raft.backup.report import BackupRefused
from raft.backup.spool import KEPT_MAX, SPARE_BYTES, TRIES, WAITING_MAX, Backups, SpoolFile
from raft.compaction.failures import RewriteFailed, RewriteStopped
from raft.errors import CorruptLog, Unavailable
from tests.raft.alone import DEADLINE_S
from tests.support.waiting import wait_until

DONE = "\n\n{}"


class Children:
    """Children that make a file of their arguments at once, or as `run_one` says."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.asked: list[list[str]] = []
        self.run_one: Callable[[], str] = lambda: DONE
        self.is_stopped = False

    def run(self, arguments: list[str]) -> str:
        self.asked.append(arguments)
        said = self.run_one()
        if said == DONE:
            (self.data_dir / arguments[2]).write_text(f"the log up to {arguments[0]}")
        return said

    def stop(self) -> None:
        self.is_stopped = True


class Member:
    """A data directory with backups, and what they ask the member for."""

    def __init__(self, data_dir: Path) -> None:
        self.applied = 10
        self.generation = "9e"
        self.file_names = {"log-1", "log-2"}
        self.free_bytes: int | None = 1 << 40
        self.children = Children(data_dir)
        self.backups = Backups(
            data_dir, self.children,
            applied=lambda: self.applied, generation=lambda: self.generation,
            live_bytes=lambda: 1 << 20, free_bytes=lambda: self.free_bytes,
            file_names=lambda: self.file_names,
        )  # fmt: skip

    def opened(self, index: int = 0) -> SpoolFile:
        file = self.backups.open(index or self.applied, DEADLINE_S)
        assert file is not None
        return file


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def names(member: Member) -> list[str]:
    return sorted(path.name for path in member.children.data_dir.iterdir())


def content(file: SpoolFile) -> str:
    with_end = file.read(0, file.size + 10)
    file.close()
    return with_end.decode()


def test_a_backup_is_made_by_a_child_and_read(member: Member) -> None:
    assert content(member.opened()) == "the log up to 10"
    assert member.children.asked == [["10", "9e", "backup-000000000000010.spool"]]


def test_while_nothing_changes_all_get_the_same_one(member: Member) -> None:
    first = member.opened()
    assert member.opened().tag == first.tag
    assert member.opened(3).tag == first.tag
    member.applied = 11
    assert member.opened(10).tag == first.tag
    assert member.opened().index == 11
    assert len(member.children.asked) == 2


def test_who_asks_while_an_earlier_one_is_made_gets_a_later_one(member: Member) -> None:
    going_on, waits = threading.Event(), threading.Event()

    def slowly() -> str:
        waits.set()
        assert going_on.wait(DEADLINE_S)
        return DONE

    member.children.run_one = slowly
    assert member.backups.open(10, 0.0) is None
    assert waits.wait(DEADLINE_S)
    member.applied = 12
    assert member.backups.open(12, 0.0) is None
    going_on.set()
    assert content(member.opened(12)) == "the log up to 12"
    assert [arguments[0] for arguments in member.children.asked] == ["10", "12"]


def test_only_so_many_wait(member: Member) -> None:
    going_on = threading.Event()
    member.children.run_one = lambda: DONE if going_on.wait(DEADLINE_S) else ""
    threads = [threading.Thread(target=member.opened, daemon=True) for _ in range(WAITING_MAX)]
    for thread in threads:
        thread.start()
    wait_until(lambda: member.backups._waiting == WAITING_MAX, DEADLINE_S, "all of them wait")
    with pytest.raises(Unavailable, match="wait for a backup already"):
        member.backups.open(10, 0.0)
    going_on.set()
    for thread in threads:
        thread.join(DEADLINE_S)


def test_a_few_are_kept_and_one_that_is_removed_is_read_to_its_end(member: Member) -> None:
    first = member.opened()
    for member.applied in range(11, 11 + KEPT_MAX):
        member.opened().close()
    assert names(member) == [f"backup-{index:015}.spool" for index in range(11, 11 + KEPT_MAX)]
    assert member.backups.find(first.tag) is None
    assert content(first) == "the log up to 10"


def test_one_is_found_by_its_tag_until_its_time_is_over(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "KEPT_S", 0.05)
    file = member.opened()
    wait_until(lambda: not names(member), DEADLINE_S, "the file is gone")
    assert member.backups.find(file.tag) is None
    assert content(file) == "the log up to 10"
    monkeypatch.setattr(spool, "KEPT_S", 60.0)
    found = member.backups.find(member.opened().tag)
    assert found is not None
    assert content(found) == "the log up to 10"


def test_a_start_removes_what_an_earlier_process_left(tmp_path: Path) -> None:
    kept = ["backup-of-mine", "log-00000001-000000000000001.jsonl", "backup-1.spool"]
    for name in (*kept, "backup-000000000000010.spool", "backup-000000000000011.spool.4711.tmp"):
        (tmp_path / name).touch()
    assert names(Member(tmp_path)) == sorted(kept)


def test_a_child_that_fails_is_tried_again_at_the_index_of_then(member: Member) -> None:
    def fails_once() -> str:
        member.applied += 1
        if member.applied == 11:
            raise RewriteFailed("the log has been compacted beyond it")
        return DONE

    member.children.run_one = fails_once
    assert member.opened(10).index == 11


def test_a_backup_that_fails_says_why_and_the_next_one_is_tried_anew(member: Member) -> None:
    def fails() -> str:
        raise RewriteFailed("the disk is almost full")

    member.children.run_one = fails
    with pytest.raises(BackupRefused, match="almost full") as refused:
        member.opened()
    assert refused.value.code == "backup_failed"
    assert len(member.children.asked) == TRIES
    member.children.run_one = lambda: DONE
    assert content(member.opened()) == "the log up to 10"


def test_damage_is_told_with_its_place_and_nothing_is_kept(member: Member) -> None:
    member.children.run_one = lambda: json.dumps({"file": "/x/log-1", "offset": 17, "indexes": [4]})
    with pytest.raises(CorruptLog) as damage:
        member.opened()
    assert (damage.value.file, damage.value.offset, damage.value.indexes) == ("/x/log-1", 17, (4,))
    assert len(member.children.asked) == 1
    assert names(member) == []


def test_a_file_that_a_compaction_took_away_is_no_damage(member: Member) -> None:
    said = [json.dumps({"file": "/x/log-0", "offset": 17, "indexes": [4]}), DONE]
    member.children.run_one = lambda: said.pop(0)
    assert content(member.opened()) == "the log up to 10"
    assert len(member.children.asked) == 2


def test_an_error_of_the_program_is_an_answer_too(member: Member) -> None:
    member.children.run_one = lambda: "no JSON"
    with pytest.raises(BackupRefused, match="log says why"):
        member.opened()


def test_without_room_on_the_disk_no_child_is_started(member: Member) -> None:
    member.free_bytes = SPARE_BYTES + (1 << 20)
    with pytest.raises(BackupRefused, match="copy the data directory") as refused:
        member.opened()
    assert refused.value.code == "backup_no_room"
    assert member.children.asked == []
    member.free_bytes = None  # the disk does not say
    member.opened()


def test_a_stop_ends_the_child_and_removes_the_files(member: Member) -> None:
    member.opened().close()
    member.backups.stop()
    assert member.children.is_stopped
    assert names(member) == []

    def stopped() -> str:
        raise RewriteStopped

    member.children.run_one = stopped
    with pytest.raises(Unavailable, match="is stopping"):
        member.opened()


def test_no_backup_waits_for_an_index_that_is_not_applied_yet(member: Member) -> None:
    assert member.opened(1 << 40).index == 10


def test_a_member_that_has_applied_nothing_has_no_backup(member: Member) -> None:
    member.applied = 0
    with pytest.raises(Unavailable):
        member.backups.open(1, DEADLINE_S)
