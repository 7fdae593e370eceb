"""Whose data directory it is: LOCK and identity.json."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from raft.disk import RealDisk
from raft.errors import DiskFailed, StartRefused
from raft.identity import Founder, Identity, decode, encode, load_or_create, lock_directory, save
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
