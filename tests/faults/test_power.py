"""The current fails under load: what was acknowledged is on the disks."""

import os
import random
import shutil
from pathlib import Path

from tests.faults import power
from tests.faults.leftovers import new_directory, sweep
from tests.faults.power import Disk
from tests.faults.tools import POWER, need


def test_a_cut_takes_what_was_not_synced_and_leaves_what_was() -> None:
    need(POWER)
    sweep()
    directory = new_directory()
    disk = Disk(directory / "disk")
    disk.mount()
    try:
        for name in ("synced", "not synced"):
            with (disk.mounted_at / name).open("wb") as file:
                file.write(b"x" * 5000)
                file.flush()
                if name == "synced":
                    os.fsync(file.fileno())
        disk.copy()
        disk.change_to_copy()
        assert (disk.mounted_at / "synced").read_bytes() == b"x" * 5000
        unsynced = disk.mounted_at / "not synced"
        assert not unsynced.exists() or unsynced.read_bytes() != b"x" * 5000
    finally:
        disk.unmount()
        shutil.rmtree(directory)


def test_no_acknowledged_post_is_lost_when_all_nodes_lose_power_at_once(tmp_path: Path) -> None:
    need(POWER)
    assert power.cut_power_often(tmp_path, 2, random.Random(20261123)) > 2 * power.FIRST_POSTS
