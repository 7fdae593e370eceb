"""The reserve of a data directory: space held back for a full disk, in the files RESERVE-1 to RESERVE-4.

Rules.  A node is *full* from the first write that finds no room until the reserve is there again.  That write removes
the reserve, and is then retried.  The space is for terms and votes, for commands that free space, for a compaction and
for the next start.  The files hold random bytes, so a file system that compresses does not give the space away.  There
are up to four, so that a few files can still be made on a file system without free inodes: a full node needs one for
its log and one for a compaction.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from raft.storage.disk import AppendFile, Disk, NoRoom

logger = logging.getLogger(__name__)

RESERVE_BYTES_MAX = 1 << 20
RESERVE_BYTES_MIN = 64 << 10  # if an eighth of the free space is less, the disk counts as full
RESERVE_SHARE = 8  # a reserve is this part of what is free when it is made
START_BYTES = 256 << 10  # more than a start writes, apart from the entries that a crash left unsynced
KEPT_BYTES = 32 << 10  # of the reserve: no entries go there, only terms, votes and the few files of a start
FILES = 4
FILES_MIN = 2
PREFIX = "RESERVE-"
RETRY_S = 0.5  # between two tries to make the reserve again, and two looks at the room of a full disk
LOG_S = 60.0  # between two lines in the log that the disk is full


class Reserve:
    """The reserve of one data directory.  Thread-safe."""

    def __init__(self, disk: Disk, data_dir: Path, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._disk = disk
        self._data_dir = data_dir
        self._random_bytes = random_bytes
        self._lock = threading.Lock()  # held across I/O: giving up the reserve waits while it is being made
        self._is_held = False
        self._logged_s = float("-inf")
        self.free_bytes: int | None = None  # of the disk, as last seen; None: not known
        self.why_full = ""  # why there is no reserve; "" while it is held, and before the first try to make it

    def prepare_start(self) -> None:
        """Remove the reserve of an earlier process if the start may need it."""
        if held_in(self._disk, self._data_dir) and not self._has_room_to_start():
            self.give_up(f"data directory {self._data_dir} has no room at this start")

    def _has_room_to_start(self) -> bool:
        """Return whether a file can be made and written: free space says nothing of a quota."""
        path = self._data_dir / f"{PREFIX}0"
        try:
            with suppress(FileNotFoundError):
                self._disk.remove(path)  # left by a crash
            with closing(self._disk.create(path)) as file:
                file.append(self._random_bytes(START_BYTES))
        except OSError:
            return False
        finally:
            with suppress(OSError):
                self._disk.remove(path)
        return True

    def give_up(self, why: str) -> bool:
        """Remove the reserve, because of `why`; return whether there was one."""
        with self._lock:
            was_full, self.why_full, self._is_held = bool(self.why_full), why, False
            removed = self._remove()
        if not was_full:
            self._log_full()
        return removed

    def _remove(self) -> bool:
        removed = False
        for name in held_in(self._disk, self._data_dir):
            with suppress(OSError):  # on a read-only file system
                self._disk.remove(self._data_dir / name)
                removed = True
        return removed

    def make(self) -> bool:
        """Make the reserve if it is not held; return whether it is now."""
        with self._lock:
            if self._is_held:
                return True
            had, why = self.why_full, self._try_to_make()
            self.why_full, self._is_held = why, not why
        if had and not why:
            logger.warning("there is room on the disk again")
        elif why and time.monotonic() - self._logged_s >= LOG_S:
            self._log_full()
        return not why

    def _try_to_make(self) -> str:
        """Return why it cannot be made; "" if it was."""
        try:
            self._remove()  # an earlier reserve may have another size, or be incomplete
            free = self._disk.free_bytes(self._data_dir)
            size = min(RESERVE_BYTES_MAX, free // RESERVE_SHARE)
            if size < RESERVE_BYTES_MIN:
                return self.why_full or f"data directory {self._data_dir} has no room: {free} bytes are free"
            files: list[AppendFile] = []
            try:
                # All names first: a moment later another process may take one.
                for number in range(1, FILES + 1):
                    try:
                        files.append(self._disk.create(self._data_dir / f"{PREFIX}{number}"))
                    except NoRoom:
                        if number <= FILES_MIN:
                            raise
                for file in files:
                    file.append(self._random_bytes(size // len(files)))
                    file.fsync()
            finally:
                for file in files:
                    file.close()
        except OSError as error:
            self._remove()
            return f"data directory {self._data_dir} has no room: {error.strerror}"
        return ""

    def _log_full(self) -> None:
        self._logged_s = time.monotonic()
        logger.error("%s; until there is room, this node accepts only what frees space", self.why_full)

    def room_bytes(self) -> int | None:
        """Return how many bytes of entries the disk takes; None: no bound, since the reserve is held."""
        if self._is_held or not self.why_full:
            return None
        try:
            return max(0, self._disk.free_bytes(self._data_dir) - KEPT_BYTES)
        except OSError:
            return 0

    def _look_at_disk(self) -> None:
        try:
            self.free_bytes = self._disk.free_bytes(self._data_dir)
        except OSError:
            self.free_bytes = None

    def maintain(self, stopping: threading.Event, on_look: Callable[[], None]) -> None:
        """Run the thread: make the reserve whenever it is not held, and call `on_look` after each try."""
        while True:
            if not self._is_held:
                self.make()
                on_look()
            self._look_at_disk()
            if stopping.wait(RETRY_S):
                return


def held_in(disk: Disk, data_dir: Path) -> list[str]:
    """Return the names of the reserve's files; none if it was given up."""
    try:
        return [name for name in disk.list(data_dir) if name.startswith(PREFIX)]
    except OSError:
        return []
