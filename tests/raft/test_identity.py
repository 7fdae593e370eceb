"""Whose data directory it is: LOCK and identity.json."""

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raft.disk import RealDisk
from raft.errors import DiskFailed, StartRefused
from raft.identity import Founder, Identity, Place, decode, encode, load_or_create, lock_directory, save, settle
from tests.raft.disks import HookedDisk

REPOSITORY = Path(__file__).parents[2]


def test_a_blank_directory_gets_a_random_incarnation_and_boot_one(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 1, lambda size: b"\xab" * size)
    assert identity == Identity(id=1, incarnation="ab" * 16, boot=1)
    other = tmp_path / "other"
    other.mkdir()
    assert load_or_create(RealDisk(), other, 1).incarnation != load_or_create(RealDisk(), tmp_path, 1).incarnation


def test_boot_is_one_more_and_on_the_disk_at_every_start(tmp_path: Path) -> None:
    boots = []
    for _ in range(3):
        boots.append(load_or_create(RealDisk(), tmp_path, 1).boot)
        assert json.loads((tmp_path / "identity.json").read_bytes())["Boot"] == boots[-1]
    assert boots == [1, 2, 3]


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 2)
    founders = {1: Founder("http://a:1", "aa", "http://a:2"), 12: Founder("http://b:1", "bb", "", 3)}
    save(RealDisk(), tmp_path, replace(identity, cluster_id="c1", founders=founders, joining=True))
    expected = replace(identity, boot=2, cluster_id="c1", founders=founders, joining=True)
    assert load_or_create(RealDisk(), tmp_path, 2) == expected


def test_the_directory_of_another_member_is_refused_and_left_alone(tmp_path: Path) -> None:
    load_or_create(RealDisk(), tmp_path, 1)
    before = (tmp_path / "identity.json").read_bytes()
    with pytest.raises(StartRefused, match="belongs to member 1, not to member 2 as --id says"):
        load_or_create(RealDisk(), tmp_path, 2)
    assert (tmp_path / "identity.json").read_bytes() == before


def test_a_log_without_an_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log-00000001-000000000000001.jsonl").write_bytes(b"")
    with pytest.raises(StartRefused, match=r"holds a log but no identity\.json; restore"):
        load_or_create(RealDisk(), tmp_path, 1)


GOOD = json.loads(encode(Identity(1, "ab", 1, "c1", {2: Founder("u", "i", "a")})))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        encode(Identity(1, "ab", 1))[:-10],
        json.dumps(GOOD | {"Format": 2}).encode(),
        json.dumps(GOOD | {"Id": True}).encode(),
        json.dumps(GOOD | {"Boot": "1"}).encode(),
        json.dumps(GOOD | {"ClusterId": None}).encode(),
        json.dumps(GOOD | {"Founders": {"2": {"Url": "u"}}}).encode(),
        json.dumps(GOOD | {"Founders": {"two": GOOD["Founders"]["2"]}}).encode(),
        json.dumps(GOOD | {"Joining": 0}).encode(),
        json.dumps(GOOD | {"Place": None}).encode(),
        json.dumps(GOOD | {"Place": {"Directory": 1}}).encode(),
        json.dumps(GOOD | {"Place": {"Directory": 1, "Lock": "2"}}).encode(),
    ],
)
def test_an_identity_that_is_not_ours_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(StartRefused, match=r"identity\.json") as refusal:
        load_or_create(RealDisk(), tmp_path, 1)
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "identity.json").read_bytes() == content


def test_a_founder_of_an_older_file_has_no_level() -> None:
    founder = {"Url": "u", "Incarnation": "i", "Advertise": "a"}
    assert decode(json.dumps(GOOD | {"Founders": {"2": founder}}).encode()).founders[2].level == 0


def test_the_test_above_starts_from_a_good_identity() -> None:
    assert decode(json.dumps(GOOD).encode()).founders == {2: Founder("u", "i", "a")}


# Where it is


def start(data_dir: Path, *, alone: bool = False, moved: bool = False) -> Identity:
    """As a process does, which then ends."""
    held = lock_directory(RealDisk(), data_dir)
    try:
        return settle(RealDisk(), data_dir, load_or_create(RealDisk(), data_dir, 1), alone=alone, moved=moved)
    finally:
        held.close()


def place_of(data_dir: Path) -> Place | None:
    return decode((data_dir / "identity.json").read_bytes()).place


def test_a_directory_knows_where_it_is_from_its_first_start_on(tmp_path: Path) -> None:
    place = start(tmp_path / "a").place
    assert place == place_of(tmp_path / "a")
    assert place == Place((tmp_path / "a").stat().st_ino, (tmp_path / "a" / "LOCK").stat().st_ino)
    assert start(tmp_path / "a").place == place


def test_a_new_name_another_mode_or_a_new_parent_is_no_other_place(tmp_path: Path) -> None:
    place = start(tmp_path / "a").place
    (tmp_path / "parent").mkdir()
    (tmp_path / "a").rename(tmp_path / "parent" / "b")
    (tmp_path / "parent" / "b").chmod(0o750)
    (tmp_path / "parent" / "b" / "identity.json").chmod(0o640)
    assert start(tmp_path / "parent" / "b").place == place


def test_a_copy_is_refused_again_and_again_until_it_is_said_to_have_moved(tmp_path: Path) -> None:
    start(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for _ in range(2):
        with pytest.raises(StartRefused, match=r"b was copied .* member 1 .* start it with --moved; else remove") as no:
            start(tmp_path / "b")
        assert "\n" not in str(no.value)
    assert place_of(tmp_path / "b") == place_of(tmp_path / "a")
    moved = start(tmp_path / "b", moved=True)
    assert moved.place == place_of(tmp_path / "b") != place_of(tmp_path / "a")
    assert start(tmp_path / "b").place == moved.place


def test_a_copy_into_the_old_directory_is_a_copy(tmp_path: Path) -> None:
    start(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "backup")
    (tmp_path / "a" / "LOCK").rename(tmp_path / "kept")  # so that its inode is not given to the next file
    (tmp_path / "a" / "identity.json").unlink()
    shutil.copytree(tmp_path / "backup", tmp_path / "a", dirs_exist_ok=True)
    with pytest.raises(StartRefused, match="copied"):
        start(tmp_path / "a")


def test_a_copy_of_the_only_voter_starts_and_its_new_place_counts(tmp_path: Path) -> None:
    start(tmp_path / "a", alone=True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    alone = start(tmp_path / "b", alone=True)
    assert alone.place == place_of(tmp_path / "b") != place_of(tmp_path / "a")
    assert start(tmp_path / "b").place == alone.place


def test_an_identity_that_knows_no_place_takes_the_one_where_it_is(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 1)
    assert (identity.place, place_of(tmp_path)) == (None, None)
    place = start(tmp_path).place
    assert place is not None
    assert place == place_of(tmp_path)


# Who has it


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    data_dir = tmp_path / "made" / "data"
    held = lock_directory(RealDisk(), data_dir)
    program = (
        "import sys; from pathlib import Path\n"
        "from raft.disk import RealDisk; from raft.identity import lock_directory\n"
        "try: lock_directory(RealDisk(), Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "else: print('locked')"
    )

    def second() -> str:
        arguments = [sys.executable, "-c", program, str(data_dir)]
        return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.strip()

    assert second() == f"StartRefused data directory {data_dir} is in use by another process (pid {os.getpid()})"
    held.close()
    assert second() == "locked"


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartRefused, match="cannot be used"):
        lock_directory(RealDisk(), tmp_path / "file" / "data")


@pytest.mark.parametrize("operation", ["create", "append", "append the rest", "fsync", "rename", "sync_directory"])
def test_a_disk_that_fails_leaves_the_old_identity_or_the_new(tmp_path: Path, operation: str) -> None:
    load_or_create(RealDisk(), tmp_path, 1)

    def fail(now: str, path: Path) -> None:
        if now == operation:
            raise OSError(errno.EIO, "broken")

    with pytest.raises(DiskFailed, match="broken"):
        load_or_create(HookedDisk(fail), tmp_path, 1)
    assert load_or_create(RealDisk(), tmp_path, 1).boot == (3 if operation == "sync_directory" else 2)
