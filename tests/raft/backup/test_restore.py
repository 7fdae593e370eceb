"""Restores: the directory of a new cluster, from a backup, a copied directory, or one that is damaged."""

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from raft.backup.report import BackupInvalid, Restored, RestoreRefused
from raft.backup.restore import restore_backup, restore_directory
from raft.compaction.compactor import compact
from raft.core.configuration import decode_configuration
from raft.core.raft_messages import Entry, HardState
from raft.engine.state_machine import Replicated
from raft.errors import StartRefused
from raft.storage.disk import RealDisk
from raft.storage.identity import load_or_create, lock_directory, settle
from raft.storage.log_store import Storage
from tests.raft.backup.test_backup_file import backup_of, make
from tests.raft.checkpoints import written_checkpoint
from tests.raft.compaction.test_compactor import DISK, contents, some_log, store
from tests.raft.words import Words, live_after

URL = "http://new:1"
LEVEL = 1
LAST = 60


def directory_of(tmp_path: Path, base: int = 33) -> Path:
    """The data directory of a member, with a base and segments behind it."""
    data_dir = make(tmp_path / "old")
    store(data_dir, some_log())
    compact(DISK, data_dir, base, Words())
    return data_dir


def restored_from(source: Path, target: Path) -> Restored:
    """What a restore of a directory says; nothing in the directory is changed."""
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    restored = restore_directory(source, target, 2, URL, LEVEL, Words)
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before
    return restored


def check(target: Path, restored: Restored, log: list[Entry], index: int = LAST) -> None:
    """The directory starts, and is that of a new cluster with the log up to this index."""
    assert restored.index == index
    identity = settle(RealDisk(), target, load_or_create(RealDisk(), target, 2), alone=True, moved=False)
    assert identity.cluster_id == restored.cluster_id != "aa"
    storage = Storage.open(DISK, target, identity.cluster_id)
    base = storage.recovered.snapshot
    assert base is not None
    assert (base.index, base.term, base.time) == (index, log[index - 1].term, log[index - 1].time)
    assert storage.recovered.hard_state == HardState(base.term, 0, index)
    configuration = decode_configuration(base.configuration)
    assert configuration.voters == (2,)
    assert configuration.members[2].incarnation == identity.incarnation
    assert configuration.members[2].url == URL
    assert (configuration.cluster_id, configuration.removed) == (restored.cluster_id, frozenset())
    assert configuration.generation
    live = live_after(log[:index])
    assert storage.reader.read_many(live) == [log[one - 1].record for one in live]
    found = storage.documents(index)
    assert found is not None
    words = Words()
    state = Replicated(words)
    state.restore(found.meta, found.lines)
    assert list(words.live()) == live
    assert next(state.document()) == b'{"sessions":[]}'  # a new member may have the id of an old one
    storage.close()


def test_a_backup_becomes_a_new_cluster_of_one(tmp_path: Path) -> None:
    restored = restore_backup(backup_of(tmp_path), tmp_path / "new", 2, URL, LEVEL, Words)
    assert (restored.from_cluster_id, restored.unconfirmed, restored.damage) == ("aa", 0, "")
    check(tmp_path / "new", restored, some_log())


def test_two_restores_of_one_backup_are_two_clusters(tmp_path: Path) -> None:
    backup = backup_of(tmp_path)
    clusters = {restore_backup(backup, tmp_path / name, 2, URL, LEVEL, Words).cluster_id for name in ("a", "b")}
    assert len(clusters | {"aa"}) == 3


def test_a_damaged_backup_restores_nothing(tmp_path: Path) -> None:
    backup = backup_of(tmp_path)
    data = bytearray(backup.read_bytes())
    data[-300] ^= 1
    backup.write_bytes(data)
    with pytest.raises(BackupInvalid):
        restore_backup(backup, tmp_path / "new", 2, URL, LEVEL, Words)
    assert not (tmp_path / "new").exists()


def test_a_directory_that_is_not_empty_is_never_restored_into(tmp_path: Path) -> None:
    backup = backup_of(tmp_path)
    (make(tmp_path / "new") / "mine").touch()
    with pytest.raises(RestoreRefused, match="is not empty"):
        restore_backup(backup, tmp_path / "new", 2, URL, LEVEL, Words)
    assert os.listdir(tmp_path / "new") == ["mine"]


def test_what_a_killed_restore_has_left_does_not_block_the_next_one_while_its_lock_is_free(tmp_path: Path) -> None:
    backup, new = backup_of(tmp_path), make(tmp_path / "new")
    for name in ("LOCK", "snapshot-000000000000009.jsonl.owner.tmp", "snapshot-000000000000009.idx.owner.tmp"):
        (new / name).touch()
    with closing(lock_directory(RealDisk(), new)), pytest.raises(RestoreRefused, match="in use by another process"):
        restore_backup(backup, new, 2, URL, LEVEL, Words)
    restore_backup(backup, new, 2, URL, LEVEL, Words)
    assert not [name for name in os.listdir(new) if name.endswith(".tmp")]


def test_what_another_restore_has_just_made_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backup, new = backup_of(tmp_path), tmp_path / "new"

    def after_the_other(*arguments: Any) -> object:
        monkeypatch.undo()
        restore_backup(backup, new, 2, URL, LEVEL, Words)
        made.update(contents(new))
        return lock_directory(*arguments)

    made: dict[str, object] = {}
    monkeypatch.setattr("raft.backup.restore.lock_directory", after_the_other)
    with pytest.raises(RestoreRefused, match="is not empty"):
        restore_backup(backup, new, 2, URL, LEVEL, Words)
    assert made and contents(new) == made


def test_a_state_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RestoreRefused, match="level 1, and this one has level 0"):
        restore_backup(backup_of(tmp_path), tmp_path / "new", 2, URL, 0, Words)
    assert not (tmp_path / "new").exists()


def test_a_restore_that_fails_removes_what_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError("no space")

    (make(tmp_path / "new") / "lost+found").mkdir()
    monkeypatch.setattr("raft.backup.restore.save", no_space)
    with pytest.raises(OSError, match="no space"):
        restore_backup(backup_of(tmp_path), tmp_path / "new", 2, URL, LEVEL, Words)
    assert os.listdir(tmp_path / "new") == ["lost+found"]


def test_a_restore_that_was_cut_short_does_not_start(tmp_path: Path) -> None:
    restore_backup(backup_of(tmp_path), tmp_path / "new", 2, URL, LEVEL, Words)
    (tmp_path / "new" / "identity.json").unlink()  # it is written last
    with pytest.raises(StartRefused, match=r"holds a log but no identity\.json"):
        load_or_create(RealDisk(), tmp_path / "new", 2)


def test_a_copied_directory_becomes_a_new_cluster_and_says_what_may_not_be_acknowledged(tmp_path: Path) -> None:
    restored = restored_from(directory_of(tmp_path), tmp_path / "new")
    check(tmp_path / "new", restored, some_log())
    assert (restored.from_cluster_id, restored.damage) == ("aa", "")
    assert restored.unconfirmed == 4  # the last batch: no later one says that it is committed


def test_a_checkpoint_confirms_what_it_is_made_of(tmp_path: Path) -> None:
    data_dir = make(tmp_path / "old")
    written_checkpoint(store(data_dir, some_log()), 59, Words())
    assert restored_from(data_dir, tmp_path / "new").unconfirmed == 1


def test_the_directory_of_a_running_node_is_refused_and_a_copy_of_it_taken(tmp_path: Path) -> None:
    data_dir = directory_of(tmp_path)
    (data_dir / "LOCK").write_text("4711\n")
    with (data_dir / "LOCK").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(RestoreRefused, match="process 4711"):
            restored_from(data_dir, tmp_path / "new")
        shutil.copytree(data_dir, tmp_path / "copy")
        check(tmp_path / "new", restored_from(tmp_path / "copy", tmp_path / "new"), some_log())


def segment_with(data_dir: Path, index: int) -> Path:
    (path,) = [path for path in data_dir.glob("log-*.jsonl") if b'{"index":%d,' % index in path.read_bytes()]
    return path


def flip(path: Path, at: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(at) + 5] ^= 1
    path.write_bytes(data)


def cut(path: Path, at: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: data.index(at) + 3])


def remove(path: Path, _: bytes) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [flip, cut, remove])
@pytest.mark.parametrize("has_indexes", [True, False])
def test_a_damaged_directory_is_taken_up_to_the_gap(
    tmp_path: Path, damage: Callable[[Path, bytes], None], has_indexes: bool
) -> None:
    data_dir = directory_of(tmp_path)
    if not has_indexes:
        for path in data_dir.glob("*.idx"):
            path.unlink()
    path = segment_with(data_dir, 47)
    damage(path, b'{"index":47,')
    restored = restored_from(data_dir, tmp_path / "new")
    check(tmp_path / "new", restored, some_log(), 44 if damage is remove else 46)
    assert path.name in restored.damage


def test_a_base_without_segments_is_taken_alone(tmp_path: Path) -> None:
    data_dir = directory_of(tmp_path)
    for path in data_dir.glob("log-*"):
        path.unlink()
    check(tmp_path / "new", restored_from(data_dir, tmp_path / "new"), some_log(), 33)


def test_a_damaged_base_gives_way_to_the_segments_that_it_replaced(tmp_path: Path) -> None:
    data_dir = directory_of(tmp_path)
    (path,) = data_dir.glob("snapshot-*.jsonl")
    flip(path, b'{"index":')
    check(tmp_path / "new", restored_from(data_dir, tmp_path / "new"), some_log())


def test_a_directory_without_a_log_is_refused(tmp_path: Path) -> None:
    data_dir = directory_of(tmp_path)
    for path in data_dir.glob("*-*"):
        path.unlink()
    with pytest.raises(RestoreRefused):
        restored_from(data_dir, tmp_path / "new")
    assert contents(data_dir) == {}
    assert not (tmp_path / "new").exists()


def test_a_directory_is_not_restored_into_itself(tmp_path: Path) -> None:
    data_dir = directory_of(tmp_path)
    for target in (data_dir, data_dir / "new"):
        with pytest.raises(RestoreRefused, match="another --data-dir"):
            restored_from(data_dir, target)
