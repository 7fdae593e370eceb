"""Names of what would outlive a run that is killed, and the sweeping up after such a run.

Namespaces, network links and mount points carry the number of the process that made them.  A run takes its own down
itself; what belongs to a process that is no more is taken down by the next run.  Its nodes have died with it.
Directories are left: a run that found something wrong keeps them on purpose.
"""

import itertools
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults.tools import run

NAME = re.compile(r"rcf(?P<pid>[0-9]+)-[0-9a-zA-Z_]+")
NAMESPACES = Path("/run/netns")
LINKS = Path("/sys/class/net")
_count = itertools.count(1)


def new_name() -> str:
    """A name of this process; with three characters more it still fits a network link's fifteen."""
    return f"rcf{os.getpid()}-{next(_count)}"


def new_directory() -> Path:
    """A directory to mount things under."""
    return Path(tempfile.mkdtemp(prefix=f"rcf{os.getpid()}-"))


def sweep() -> None:
    """Take down what runs that are no more have left.  Another run may do the same meanwhile."""
    for mount_point in reversed(mount_points()):
        if any(_is_dead(part) for part in Path(mount_point).parts):
            _take_down(lambda at=mount_point: at in mount_points(), "umount", mount_point)  # type: ignore[misc]
    for link in os.listdir(LINKS):
        if _is_dead(link):  # and so goes the other end of a pair
            _take_down((LINKS / link).exists, "ip", "link", "del", link)
    for namespace in os.listdir(NAMESPACES) if NAMESPACES.exists() else ():
        if _is_dead(namespace):
            _take_down((NAMESPACES / namespace).exists, "ip", "netns", "del", namespace)


def _take_down(is_there: Callable[[], bool], *command: str) -> None:
    """Run a command that takes something down, unless it is gone."""
    try:
        if is_there():
            run(*command)
    except AssertionError:
        if is_there():
            raise


def mount_points() -> list[str]:
    """In the order in which they were mounted."""
    return [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]


def _is_dead(name: str) -> bool:
    """Whether a run made this, and is no more."""
    match = NAME.fullmatch(name)
    return match is not None and not Path("/proc", match["pid"]).exists()
