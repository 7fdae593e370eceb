"""Whose data directory it is: LOCK and identity.json."""

import errno
import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from raft.errors import DiskFailed, StartRefused
from raft.storage.disk import FileMarks, RealDisk
from raft.storage.identity import Founder, Identity, decode, encode, load_or_create, lock_directory, save, settle
from tests.raft.disks import HookedDisk

REPOSITORY = Path(__file__).parents[3]


def test_a_blank_directory_gets_a_random_incarnation_and_boot(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 1, lambda size: b"\xab" * size)
    boot = 1 + (0xABABABAB >> 1)
    assert identity == Identity(id=1, incarnation="ab" * 16, boot=boot, boots=(boot,))
    other = tmp_path / "other"
    other.mkdir()
    assert load_or_create(RealDisk(), other, 1).incarnation != load_or_create(RealDisk(), tmp_path, 1).incarnation


def test_boot_grows_at_random_and_is_on_the_disk_at_every_start(tmp_path: Path) -> None:
    boots = []
    for _ in range(3):
        boots.append(load_or_create(RealDisk(), tmp_path, 1).boot)
        assert json.loads((tmp_path / "identity.json").read_bytes())["Boot"] == boots[-1]
    assert boots == sorted(set(boots))
    assert boots[1] - boots[0] != boots[2] - boots[1]


def test_all_starts_since_the_recorded_one_are_kept_with_it(tmp_path: Path) -> None:
    """Also those of a file that an earlier version wrote, which names the last one only."""
    (tmp_path / "identity.json").write_bytes(json.dumps(GOOD | {"Boot": 7}).encode())
    drawn = [7, *(load_or_create(RealDisk(), tmp_path, 1).boot for _ in range(5))]
    assert load_or_create(RealDisk(), tmp_path, 1).boots[:-1] == tuple(drawn)
    moved = start(tmp_path, moved=True)
    assert moved.boots[: len(drawn)] == tuple(drawn)
    assert moved.boots[-1] == moved.boot


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    identity = load_or_create(RealDisk(), tmp_path, 2)
    founders = {1: Founder("http://a:1", "aa", "http://a:2"), 12: Founder("http://b:1", "bb", "", 3)}
    save(RealDisk(), tmp_path, replace(identity, cluster_id="c1", founders=founders, joining=True))
    found = load_or_create(RealDisk(), tmp_path, 2)
    assert found.boot > identity.boot
    boots = (identity.boot, found.boot)
    assert found == replace(identity, boot=found.boot, boots=boots, cluster_id="c1", founders=founders, joining=True)


def test_the_directory_of_another_member_is_refused_and_left_alone(tmp_path: Path) -> None:
    load_or_create(RealDisk(), tmp_path, 1)
    before = (tmp_path / "identity.json").read_bytes()
    with pytest.raises(StartRefused, match="belongs to member 1, not to member 2 as --id says"):
        load_or_create(RealDisk(), tmp_path, 2)
    assert (tmp_path / "identity.json").read_bytes() == before


def test_a_log_without_an_identity_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log-00000001-000000000000001.jsonl").write_bytes(b"")
    with pytest.raises(StartRefused, match=r"holds a log but no identity\.json; if this member"):
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
        json.dumps(GOOD | {"Format": 3}).encode(),
        json.dumps(GOOD | {"Id": True}).encode(),
        json.dumps(GOOD | {"Boot": "1"}).encode(),
        json.dumps(GOOD | {"ClusterId": None}).encode(),
        json.dumps(GOOD | {"Founders": {"2": {"Url": "u"}}}).encode(),
        json.dumps(GOOD | {"Founders": {"two": GOOD["Founders"]["2"]}}).encode(),
        json.dumps(GOOD | {"Joining": 0}).encode(),
        json.dumps(GOOD | {"Places": None}).encode(),
        json.dumps(GOOD | {"Places": [[1]]}).encode(),
        json.dumps(GOOD | {"Places": [[1, "2"]]}).encode(),
        json.dumps(GOOD | {"Generation": 1}).encode(),
        json.dumps(GOOD | {"Boots": [2, 1]}).encode(),
        json.dumps(GOOD | {"Boots": []}).encode(),
        json.dumps(GOOD | {"Boots": [1, 2]}).encode(),  # ends with another one than Boot
    ],
)
def test_an_identity_that_is_not_ours_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "identity.json").write_bytes(content)
    with pytest.raises(StartRefused, match=r"identity\.json") as refusal:
        load_or_create(RealDisk(), tmp_path, 1)
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "identity.json").read_bytes() == content


def test_a_data_directory_of_an_earlier_version_is_refused_in_words(tmp_path: Path) -> None:
    content = json.dumps(GOOD | {"Format": 2}).encode()
    (tmp_path / "identity.json").write_bytes(content)
    words = "has format 2, and this program knows format 1; start the version that wrote it, or start this version with"
    with pytest.raises(StartRefused, match=words):
        load_or_create(RealDisk(), tmp_path, 1)
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


def places_of(data_dir: Path) -> tuple[FileMarks, ...]:
    return decode((data_dir / "identity.json").read_bytes()).places


def test_each_start_makes_a_new_place_and_starts_again(tmp_path: Path) -> None:
    found = [start(tmp_path / "a").places for _ in range(3)]
    assert all(len(places) == 1 for places in found)
    assert found[-1] == places_of(tmp_path / "a") == (RealDisk().marks(tmp_path / "a" / "PLACE"),)


def test_a_new_name_another_mode_or_a_new_parent_is_no_copy(tmp_path: Path) -> None:
    start(tmp_path / "a")
    (tmp_path / "parent").mkdir()
    (tmp_path / "a").rename(tmp_path / "parent" / "b")
    (tmp_path / "parent" / "b").chmod(0o750)
    (tmp_path / "parent" / "b" / "identity.json").chmod(0o640)
    start(tmp_path / "parent" / "b")


def test_a_copy_is_refused_again_and_again_until_it_is_said_to_have_moved(tmp_path: Path) -> None:
    original = start(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for _ in range(2):
        with pytest.raises(StartRefused, match=r"b was copied .* member 1 .* start it with --moved; else remove") as no:
            start(tmp_path / "b")
        assert "\n" not in str(no.value)
    moved = start(tmp_path / "b", moved=True)
    assert moved.boot >= original.boot + (1 << 32)
    assert moved.generation == ""
    start(tmp_path / "b")


def test_an_older_copy_written_into_the_same_files_is_a_copy(tmp_path: Path) -> None:
    start(tmp_path / "a")
    old = (tmp_path / "a" / "identity.json").read_bytes()
    start(tmp_path / "a")
    (tmp_path / "a" / "identity.json").write_bytes(old)  # on the same inode, beside the same LOCK
    with pytest.raises(StartRefused, match="copied or restored"):
        start(tmp_path / "a")


def test_a_lost_place_is_a_copy(tmp_path: Path) -> None:
    start(tmp_path / "a")
    (tmp_path / "a" / "PLACE").unlink()
    with pytest.raises(StartRefused, match="copied or restored"):
        start(tmp_path / "a")


def test_a_copy_of_the_only_voter_starts_with_a_generation_that_the_original_lacks(tmp_path: Path) -> None:
    original = start(tmp_path / "a", alone=True)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = start(tmp_path / "b", alone=True)
    assert (original.generation, len(copy.generation)) == ("", 16)
    assert copy.boot >= original.boot + (1 << 32)
    assert start(tmp_path / "b").generation == copy.generation  # until it is committed
    assert start(tmp_path / "a", alone=True).generation == ""


def test_a_number_that_a_file_system_cannot_tell_is_left_out() -> None:
    assert FileMarks(7, 3).is_same_file(FileMarks(7, 0))
    assert not FileMarks(7, 3).is_same_file(FileMarks(7, 4))
    assert not FileMarks(7, 3).is_same_file(FileMarks(8, 3))


def test_a_start_that_dies_at_any_step_starts_again(tmp_path: Path) -> None:
    """Killed before each operation of a start in turn, and started again."""
    start(tmp_path / "a")
    for step in range(40):
        left = step

        def die(now: str, path: Path) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(errno.EIO, "killed")

        disk = HookedDisk(die)
        with suppress(DiskFailed, StartRefused):
            settle(disk, tmp_path / "a", load_or_create(disk, tmp_path / "a", 1), alone=False, moved=False)
        disk.die()
        start(tmp_path / "a")
        if left >= 0:
            return
    raise AssertionError("a start has more steps than were tried")


# Who has it


def test_a_second_process_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    data_dir = tmp_path / "made" / "data"
    held = lock_directory(RealDisk(), data_dir)
    program = (
        "import sys; from pathlib import Path\n"
        "from raft.storage.disk import RealDisk; from raft.storage.identity import lock_directory\n"
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
    before = load_or_create(RealDisk(), tmp_path, 1).boot

    def fail(now: str, path: Path) -> None:
        if now == operation:
            raise OSError(errno.EIO, "broken")

    with pytest.raises(DiskFailed, match="broken"):
        load_or_create(HookedDisk(fail), tmp_path, 1)
    assert load_or_create(RealDisk(), tmp_path, 1).boot > before


def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a" / "LOCK").symlink_to(tmp_path / "precious")
    with pytest.raises(StartRefused, match="LOCK is a symbolic link"):
        lock_directory(RealDisk(), tmp_path / "a")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_directory_that_everybody_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    with pytest.raises(StartRefused, match="every user may write"):
        lock_directory(RealDisk(), tmp_path / "a")
