"""The backups that a running member has made: files in its data directory, from which they are sent.

    backup-000000000000900.spool: a backup of the log up to index 900; no file of the log

A child of low priority makes a backup (writer.py), while this process goes on.  The whole file is there before the
first byte is sent: so its length is known, a broken transfer goes on where it broke, and damage is an error in words
instead of half a file.

Rules.
- One backup is made at a time.  All who asked for one before it began, and all who ask while nothing has changed since,
  get the same one.  WAITING_MAX may wait.
- KEPT_MAX files are kept, each for KEPT_S and no longer than this process.  A start removes those of the one before.
- A file that is removed while it is sent is still sent to its end.
- A child that fails is tried again, since a compaction may have replaced the files that it read, and they may be gone.
  Damage in a file that counts is not: it raises CorruptLog.
"""

import json
import logging
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Protocol

from raft.backup.report import BackupRefused
from raft.compaction.failures import RewriteFailed, RewriteStopped
from raft.errors import ADVICE, CorruptLog, RaftError, Unavailable

logger = logging.getLogger(__name__)

KEPT_MAX = 2  # one that is being sent, and a newer one
KEPT_S = 3_600.0  # for a broken transfer to go on
WAITING_MAX = 8  # each is a thread of the clients' port
TRIES = 3
SPARE_BYTES = 16 << 20  # of the disk stay free: a child gives up before it takes the last of them
DOCUMENT_SHARE = 8  # a state document is about this part of the live records; the estimate has no more exact one
_SPOOL = re.compile(r"backup-[0-9]{15}\.spool(\.[0-9a-z]+\.tmp)?")


class Runner(Protocol):
    """Runs children (`raft.compaction.child_process.ChildRunner`)."""

    def run(self, arguments: list[str]) -> str:
        """Run a child; return what it printed.  Raises RewriteFailed and RewriteStopped."""

    def stop(self) -> None:
        """Kill a running child, and start no other."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """A backup that can be sent."""

    name: str
    index: int
    tag: str  # names this very file
    size: int  # in bytes


class SpoolFile:
    """A backup that is open for reading.  Any thread."""

    def __init__(self, spooled: Spooled, descriptor: int) -> None:
        self.index, self.tag, self.size = spooled.index, spooled.tag, spooled.size
        self._descriptor = descriptor

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`.  Raises OSError."""
        return os.pread(self._descriptor, count, offset)

    def close(self) -> None:
        """Close it; calling it once is enough."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            os.close(descriptor)


class _Job:
    """The making of one backup."""

    def __init__(self, index: int) -> None:
        self.index = index  # at least
        self.done = threading.Event()
        self.error: RaftError | None = None


class Backups:
    """The backups of one member.  For any thread."""

    def __init__(
        self,
        data_dir: Path,
        runner: Runner,
        *,
        applied: Callable[[], int],
        generation: Callable[[], str],
        live_bytes: Callable[[], int],
        free_bytes: Callable[[], int | None],
        file_names: Callable[[], set[str]],
    ) -> None:
        """`applied()`: the last applied index.  `live_bytes()`: about the size of a snapshot made now.

        `file_names()`: the files that count, the base and the segments.
        """
        self._data_dir = data_dir
        self._runner = runner
        self._applied = applied
        self._generation = generation
        self._live_bytes = live_bytes
        self._free_bytes = free_bytes
        self._file_names = file_names
        self._lock = threading.Lock()  # held for a moment
        self._kept: list[Spooled] = []  # the newest last
        self._job: _Job | None = None
        self._waiting = 0
        self._timers: list[threading.Timer] = []
        with suppress(OSError):
            for name in os.listdir(data_dir):
                if _SPOOL.fullmatch(name):
                    self._remove(name)

    def find(self, tag: str) -> SpoolFile | None:
        """Return the backup of this tag, if it is still there."""
        with self._lock:
            spooled = next((one for one in self._kept if one.tag == tag), None)
        return None if spooled is None else self._opened(spooled)

    def open(self, index: int, wait_s: float) -> SpoolFile | None:
        """Return a backup of the log up to `index` at least, made now if there is none; None if it is not there yet.

        Raises BackupRefused, CorruptLog, Unavailable.
        """
        deadline_s = monotonic() + wait_s
        index = min(index, max(self._applied(), 1))  # or one backup after the other would be made
        with self._lock:
            if self._waiting >= WAITING_MAX:
                raise Unavailable(f"{WAITING_MAX} requests wait for a backup already")
            self._waiting += 1
        try:
            while True:
                spooled, job = self._spooled_or_job(index)
                if spooled is not None:
                    file = self._opened(spooled)
                    if file is not None:
                        return file
                elif job is not None and not job.done.wait(max(0.0, deadline_s - monotonic())):
                    return None
                elif job is not None and job.error is not None and job.index >= index:
                    raise job.error
        finally:
            with self._lock:
                self._waiting -= 1

    def _spooled_or_job(self, index: int) -> tuple[Spooled | None, _Job | None]:
        """Return a backup that reaches the index, or the making of one; an earlier making ends first."""
        with self._lock:
            newest = self._kept[-1] if self._kept else None
            if newest is not None and newest.index >= index:
                return newest, None
            if self._job is None or self._job.done.is_set():
                self._job = _Job(max(self._applied(), 1))
                threading.Thread(target=self._make, args=(self._job,), name="backup", daemon=True).start()
            return None, self._job

    def _opened(self, spooled: Spooled) -> SpoolFile | None:
        try:
            return SpoolFile(spooled, os.open(self._data_dir / spooled.name, os.O_RDONLY))
        except OSError:
            self._drop(spooled)
            return None

    def _make(self, job: _Job) -> None:
        """Run the thread of one job."""
        try:
            self._keep(self._made(job))
        except RaftError as error:
            job.error = error
        except Exception:
            logger.exception("a backup was not made")
            job.error = BackupRefused("backup_failed", "the backup was not made; the node's log says why")
        finally:
            job.done.set()

    def _made(self, job: _Job) -> Spooled:
        why = ""
        for _ in range(TRIES):
            index = self._applied()
            if not index:
                raise Unavailable("this node has applied nothing yet")
            job.index = index
            self._check_room()
            name = f"backup-{index:015}.spool"
            self._forget(name)
            try:
                said = json.loads(self._runner.run([str(index), self._generation(), name]))
            except RewriteStopped:
                raise Unavailable("this node is stopping") from None
            except RewriteFailed as failed:
                why = str(failed)
                continue
            if "file" in said and Path(said["file"]).name not in self._file_names():
                why = f"{said['file']} was replaced while it was read"
                continue
            if "file" in said:
                raise _damaged(said)
            size = os.stat(self._data_dir / name).st_size
            return Spooled(name, index, f"{index}-{os.urandom(8).hex()}", size)
        raise BackupRefused("backup_failed", f"the backup was not made: {why}")

    def _check_room(self) -> None:
        free, live = self._free_bytes(), self._live_bytes()
        needed = live + live // DOCUMENT_SHARE + SPARE_BYTES
        if free is not None and free < needed:
            raise BackupRefused(
                "backup_no_room",
                f"a backup needs about {needed >> 20} MiB beside the log for as long as it is sent, and {free >> 20} "
                "MiB are free. Ask another node, or copy the data directory: restore takes a copy too.",
            )

    def _keep(self, spooled: Spooled) -> None:
        timer = threading.Timer(KEPT_S, self._drop, [spooled])
        timer.daemon = True
        timer.name = "backup-kept"
        with self._lock:
            self._kept.append(spooled)
            gone, self._kept = self._kept[:-KEPT_MAX], self._kept[-KEPT_MAX:]
            self._timers = [*self._timers[1 - KEPT_MAX :], timer]
        timer.start()
        for one in gone:
            self._remove(one.name)

    def _forget(self, name: str) -> None:
        """Forget a kept file whose name another one is about to get."""
        with self._lock:
            self._kept = [one for one in self._kept if one.name != name]
        self._remove(name)

    def _drop(self, spooled: Spooled) -> None:
        with self._lock:
            if spooled not in self._kept:
                return
            self._kept.remove(spooled)
        self._remove(spooled.name)

    def _remove(self, name: str) -> None:
        with suppress(OSError):
            (self._data_dir / name).unlink(missing_ok=True)

    def stop(self) -> None:
        """End a making that is under way, and remove the files."""
        self._runner.stop()
        with self._lock:
            kept, self._kept = self._kept, []
            timers, self._timers = self._timers, []
        for timer in timers:
            timer.cancel()
        for spooled in kept:
            self._remove(spooled.name)


def _damaged(said: dict[str, object]) -> CorruptLog:
    """Return the error for the damage that a child has found."""
    indexes = said.get("indexes")
    assert isinstance(indexes, list)
    what = "a record is damaged, so no backup is made,"
    return CorruptLog(str(said["file"]), int(str(said["offset"])), what, ADVICE, tuple(map(int, indexes)))
