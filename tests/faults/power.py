"""Power cuts: three nodes on ext4 images of their own, and what is left of them when the current fails.

A cut, without a switch to pull: all nodes are stopped, the images are copied, the nodes killed, and the cluster starts
again on the copies.  What a node wrote and did not sync is in the page cache of the mounted file system and not in the
image, so it is gone.  With its node stopped nobody writes to a file system, but its own housekeeping; a copy during
which the loop device wrote anyway is no moment's image, and is taken again.
"""

import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Self

from tests.cluster.writers import (
    Acknowledged,
    Writer,
    acknowledged_by,
    check_every_node,
    count_posts,
    load,
    wait_for_posts,
)
from tests.faults.leftovers import new_directory, sweep
from tests.faults.tools import run
from tests.support.cluster import Cluster

IMAGE_BYTES = 64 << 20
COPIES_MAX = 20
FIRST_POSTS = 20  # of a stretch between two cuts
STRETCH_S = 1.5  # at most so long after them the current fails
ROOMS = ("general", "random")
FSCK_MENDED = 1  # its exit code where it found, and mended, what a cut leaves


class Disk:
    """An ext4 image and where it is mounted."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.mounted_at = directory / "mounted"
        self.mounted_at.mkdir()
        self._directory = directory
        self._image = self._new_image(0)
        self._cuts = 0
        self.is_mounted = False
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        run("mkfs.ext4", "-q", str(self._image))

    def _new_image(self, number: int) -> Path:
        return self._directory / f"{number}.img"

    def mount(self) -> None:
        run("mount", "-o", "loop", str(self._image), str(self.mounted_at))
        self.is_mounted = True

    def unmount(self) -> None:
        if self.is_mounted:
            run("umount", str(self.mounted_at))
            self.is_mounted = False

    def copy(self) -> None:
        """Take the image of this moment, without what is only in memory."""
        for _ in range(COPIES_MAX):
            written = self._sectors_written()
            shutil.copyfile(self._image, self._new_image(self._cuts + 1))
            if self._sectors_written() == written:
                return
        raise AssertionError("the file system is never at rest")

    def change_to_copy(self) -> None:
        """Go on, mounted, with what `copy` took."""
        self.unmount()
        self._image.unlink()
        self._cuts += 1
        self._image = self._new_image(self._cuts)
        self._check()
        self.mount()

    def remake(self) -> None:
        """Go on, mounted, with an empty file system made anew."""
        self.unmount()
        run("mkfs.ext4", "-q", "-F", str(self._image))
        self.mount()

    def _check(self) -> None:
        """e2fsck may replay the journal and mend; what it cannot mend is no power cut's doing."""
        run("sh", "-c", f'e2fsck -fy "$0" || test $? -le {FSCK_MENDED}', str(self._image))

    def _sectors_written(self) -> int:
        """By the loop device, so far (the kernel's Documentation/block/stat.rst)."""
        device = Path(run("findmnt", "-no", "SOURCE", str(self.mounted_at)).strip()).name
        return int(Path("/sys/block", device, "stat").read_text().split()[6])


class PoweredCluster(Cluster):
    """Three nodes that share a plug."""

    def __init__(self, directory: Path) -> None:
        sweep()
        super().__init__(directory)
        self._top = new_directory()
        self.disks = {id: Disk(self._top / str(id)) for id in self.nodes}
        for node in self.nodes.values():
            node.data_dir = self.disks[node.id].mounted_at / node.data_dir.name

    def __enter__(self) -> Self:
        with ExitStack() as mounting:
            for disk in self.disks.values():
                mounting.callback(disk.unmount)
                disk.mount()
            mounting.pop_all()
        return self

    def __exit__(self, *how: object) -> None:
        """Where something was wrong the images stay."""
        with ExitStack() as closing:
            if how[0] is None:
                closing.callback(shutil.rmtree, self._top)
            else:
                sys.stderr.write(f"\nthe disks are in {self._top}\n")
            for disk in self.disks.values():
                closing.callback(disk.unmount)
            closing.callback(super().__exit__, *how)  # type: ignore[arg-type]

    def cut_power(self, writers: Sequence[Writer]) -> list[Acknowledged]:
        """Cut it; what the writers had been told then.  No node runs, and the disks are as the cut left them."""
        for node in self.nodes.values():
            node.signal(signal.SIGSTOP)
        told = acknowledged_by(writers)
        for disk in self.disks.values():
            disk.copy()
        self.kill()
        for disk in self.disks.values():
            disk.change_to_copy()
        return told


def cut_power_often(
    directory: Path, cuts: int, rng: random.Random, say: Callable[[str], None] = lambda line: None
) -> int:
    """So many cuts at random moments under load, and after each one the check.  How many posts were acknowledged."""
    pause = threading.Event()  # nobody sets it
    told: list[Acknowledged] = []
    with PoweredCluster(directory) as cluster:
        cluster.start_ready()
        for number in range(1, cuts + 1):
            with load(cluster.ports(), prefix=f"cut{number}-", rooms=ROOMS) as writers:
                wait_for_posts(writers, FIRST_POSTS)
                pause.wait(rng.uniform(0, STRETCH_S))
                told += cluster.cut_power(writers)
            began = monotonic()
            cluster.start_ready()
            check_every_node(cluster.ports(), ROOMS, told)
            say(f"cut {number}: {count_posts(writers)} posts since the last one, {len(told)} in all, all there; "
                f"back after {monotonic() - began:.1f} s")  # fmt: skip
    return len(told)
