"""Compactions in a child process: the parent's side, and the child's.

A rewrite replays the log into an empty state machine and copies what is live.  That takes seconds of processor time.
In the member's own process, threads that answer clients would have to wait for it (the GIL).  So a child of low
priority does it.  The child only reads the log, while its parent appends to it, and makes one new file, whole or not at
all.  The parent puts that in place.

A child ends when its parent has gone.  It also ends before it takes the disk's last space, which the parent's log
needs.  If the reserve was given up already (reserve.py), only a child can make room again, so it may use nearly all of
the space.  While a child works it writes empty lines; one that stops doing so is killed.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from raft.compaction.compactor import compact
from raft.compaction.failures import RewriteDamaged, RewriteFailed, RewriteStopped
from raft.core.raft_messages import SnapshotMeta
from raft.engine.state_machine import StateMachine
from raft.errors import ADVICE, CorruptLog, RaftError
from raft.storage.disk import TEMPORARY_SUFFIX, AppendFile, NoRoom, RealDisk
from raft.storage.file_names import is_temporary_index
from raft.storage.index_file import log_remade
from raft.storage.reserve import KEPT_BYTES, held_in

NICENESS = 19  # a rewrite can wait; posts cannot
LOOK_S = 0.2  # between two looks at a child, and two calls of what its parent does meanwhile
PROGRESS_S = 1.0  # between two empty lines
STUCK_S = 300.0  # without an empty line; to load millions of posts takes a part of that on a busy machine
KILLED_S = 5.0  # for a killed child to end; it may never end while it waits for a disk
SPARE_BYTES = 8 << 20  # of the disk stay free: a full disk stops posts, but a rewrite can wait


class ChildRunner:
    """Runs child processes that read a data directory, one at a time; any thread may `stop` one."""

    def __init__(self, command: Sequence[str], data_dir: Path, what: str) -> None:
        """`command` starts a program; `what` it is for, in words."""
        self._command = command
        self._data_dir = data_dir
        self._what = what
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, arguments: Sequence[str], meanwhile: Callable[[], None] = lambda: None) -> str:
        """Run a child with further arguments, calling `meanwhile` now and then; return what it printed.

        Raises RewriteFailed and RewriteStopped.
        """
        path = os.pathsep.join(sys.path)  # for a checkout, an installation, a zipapp; not the working directory
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        command = [*self._command, str(self._data_dir), *arguments]
        with self._lock:
            if self._stopped:
                raise RewriteStopped
            if self._child is not None and self._child.poll() is None:
                raise RewriteFailed(f"process {self._child.pid}, which was killed, has not ended yet")
            self._child = child = self._start(command, environment)
        try:
            said, complaints = _wait_for(child, meanwhile)
        except _Stuck:
            self._remove_unfinished(child)
            raise RewriteFailed(f"process {child.pid} made no progress for {STUCK_S:.0f} s and was killed") from None
        if child.returncode:
            self._remove_unfinished(child)
            if self._stopped:
                raise RewriteStopped
            why = (
                complaints.strip().rpartition("\n")[2]
                or f"the process for the {self._what} ended with code {child.returncode}"
            )
            raise RewriteFailed(why)
        return said

    def _remove_unfinished(self, child: "subprocess.Popen[str]") -> None:
        """Remove the file of a child that was killed."""
        for unfinished in self._data_dir.glob(f"*.{child.pid}{TEMPORARY_SUFFIX}"):
            unfinished.unlink(missing_ok=True)

    def _start(self, command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
        try:
            return subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:  # no memory, no descriptors, or Python is being upgraded
            raise RewriteFailed(f"no process can be started for the {self._what}: {error}") from error

    def stop(self) -> None:
        """Kill a running child, and start no other."""
        with self._lock:
            self._stopped = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()


class ChildRewriter:
    """Runs rewrites one at a time; any thread may `stop` one."""

    def __init__(self, command: Sequence[str], data_dir: Path) -> None:
        """`command` starts a program that hands its further arguments to `main`."""
        self._runner = ChildRunner(command, data_dir, "rewrite")
        self.stop = self._runner.stop

    def __call__(self, up_to: int, meanwhile: Callable[[], None] = lambda: None) -> SnapshotMeta:
        """Run a rewrite and wait for it, calling `meanwhile` now and then.  Raises RewriteFailed and RewriteStopped.

        RewriteDamaged: the log is damaged where the child read it.
        """
        said = json.loads(self._runner.run([str(up_to)], meanwhile))
        if isinstance(said, dict):
            raise RewriteDamaged(CorruptLog(said["file"], said["offset"], said["what"], ADVICE, said["indexes"]))
        index, term, time, configuration_index, configuration, remade = said
        log_remade(remade)
        return SnapshotMeta(index, term, time, configuration_index, configuration.encode())


class _Stuck(Exception):
    """The child was killed, because it made no progress."""


def _wait_for(child: "subprocess.Popen[str]", meanwhile: Callable[[], None]) -> tuple[str, str]:
    """Return the child's output and errors after its end.  Raises _Stuck."""
    said, progress_s = 0, monotonic()
    while True:
        try:
            return child.communicate(timeout=LOOK_S)
        except subprocess.TimeoutExpired as waiting:
            meanwhile()
            so_far = len(waiting.output or b"")
            if so_far > said:
                said, progress_s = so_far, monotonic()
            elif monotonic() - progress_s >= STUCK_S:
                break
    child.kill()
    with suppress(subprocess.TimeoutExpired):
        child.communicate(timeout=KILLED_S)
    raise _Stuck


class _FullDisk(RealDisk):
    """A disk on which no index is made: indexes are caches, and the last inodes are for a snapshot."""

    def create(self, path: Path) -> AppendFile:
        if is_temporary_index(path.name):
            raise NoRoom(errno.ENOSPC, "the disk is full", str(path))
        return super().create(path)


def pauses(data_dir: Path, spare_bytes: int) -> Callable[[], None]:
    """Return what a child calls between small steps.

    It says now and then that the child goes on, ends it if its parent has gone, and raises OSError if the disk has less
    than `spare_bytes` left.
    """
    parent, said_s = os.getppid(), monotonic()

    def pause() -> None:
        nonlocal said_s
        if monotonic() - said_s >= PROGRESS_S:
            said_s = monotonic()
            sys.stdout.write("\n")
            sys.stdout.flush()
        if os.getppid() != parent:
            sys.exit("the parent process has ended")
        if shutil.disk_usage(data_dir).free < spare_bytes:
            raise OSError(errno.ENOSPC, "the disk is almost full", str(data_dir))

    return pause


def damage_met(error: Exception, data_dir: Path) -> CorruptLog | None:
    """Return the damage that made a rewrite fail; None: it failed for another reason."""
    if isinstance(error, CorruptLog):
        return error
    cause = error.__cause__ or error
    if isinstance(cause, OSError) and cause.errno == errno.EIO:
        return CorruptLog(str(data_dir), 0, f"a file cannot be read ({cause.strerror})", ADVICE)
    return None


def main(arguments: Sequence[str], new_machine: Callable[[], StateMachine]) -> int:
    """Run the child: `DATA_DIR UP_TO`; print the SnapshotMeta as a JSON list, or where the log is damaged.

    The list ends with the paths of the indexes that the child made anew.
    """
    remade: list[str] = []
    data_dir, up_to = Path(arguments[0]), int(arguments[1])
    is_full = not held_in(RealDisk(), data_dir)
    if not is_full:  # on a full disk posts wait for this
        os.nice(NICENESS)
    pause = pauses(data_dir, KEPT_BYTES if is_full else SPARE_BYTES)
    try:
        meta = compact(
            _FullDisk() if is_full else RealDisk(), data_dir, up_to, new_machine(), pause=pause, on_remade=remade.extend
        )
    except (RaftError, OSError, LookupError) as error:
        damage = damage_met(error, data_dir)
        if damage is None:
            sys.stderr.write(f"{error}\n")
            return 1
        where = {"file": damage.file, "offset": damage.offset, "what": damage.what, "indexes": damage.indexes}
        sys.stdout.write(f"{json.dumps(where)}\n")
        return 0
    said = [meta.index, meta.term, meta.time, meta.configuration_index, meta.configuration.decode(), remade]
    sys.stdout.write(f"{json.dumps(said)}\n")
    return 0
