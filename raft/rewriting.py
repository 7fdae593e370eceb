"""Compactions in a process of their own: what starts it, and what it does.

A rewrite replays the log into a blank state machine and copies what is live.  That takes seconds of a processor, which
threads of the member's own process would have to share with those that answer clients (the GIL), so it is done by a
child of low priority.  It only reads the log, while its parent appends to it, and makes one new file, whole or not at
all.  The parent puts that in place.  A child whose parent has gone ends; so does one that takes the disk's last space,
which the parent's log needs.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from raft.compaction import compact
from raft.disk import TEMPORARY_SUFFIX, RealDisk
from raft.errors import RaftError
from raft.housekeeping import CHECK_S, RewriteFailed, RewriteStopped
from raft.messages import SnapshotMeta
from raft.replicated import StateMachine

NICENESS = 19  # it has time; a machine that is busy with posts would do fewer of them
SPARE_BYTES = 8 << 20  # of the disk stay free: a log that finds it full ends its member, a rewrite can wait


class ChildRewriter:
    """Runs rewrites one at a time; any thread may `stop` one."""

    def __init__(self, command: Sequence[str], data_dir: Path) -> None:
        """`command` starts a program that hands its further arguments to `main`."""
        self._command = command
        self._data_dir = data_dir
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._stopped = False

    def __call__(self, up_to: int, meanwhile: Callable[[], None] = lambda: None) -> SnapshotMeta:
        """Do it and wait for it, calling `meanwhile` now and then.  Raises RewriteFailed and RewriteStopped."""
        path = os.pathsep.join(sys.path)  # a checkout, an installation, a zipapp; never what happens to lie around
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        command = [*self._command, str(self._data_dir), str(up_to)]
        with self._lock:
            if self._stopped:
                raise RewriteStopped
            self._child = child = self._start(command, environment)
        said, complaints = _wait_for(child, meanwhile)
        if child.returncode:
            for unfinished in self._data_dir.glob(f"*.{child.pid}{TEMPORARY_SUFFIX}"):
                unfinished.unlink(missing_ok=True)  # one that was killed could not
            if self._stopped:
                raise RewriteStopped
            why = complaints.strip().rpartition("\n")[2] or f"the process for it ended with code {child.returncode}"
            raise RewriteFailed(why)
        index, term, time, configuration_index, configuration = json.loads(said)
        return SnapshotMeta(index, term, time, configuration_index, configuration.encode())

    @staticmethod
    def _start(command: list[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
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
            raise RewriteFailed(f"no process can be started for it: {error}") from error

    def stop(self) -> None:
        """Kill one that is under way, and begin no other."""
        with self._lock:
            self._stopped = True
            if self._child is not None and self._child.poll() is None:
                self._child.kill()


def _wait_for(child: "subprocess.Popen[str]", meanwhile: Callable[[], None]) -> tuple[str, str]:
    """What it wrote until it ended."""
    while True:
        try:
            return child.communicate(timeout=CHECK_S)
        except subprocess.TimeoutExpired:
            meanwhile()


def main(arguments: Sequence[str], new_machine: Callable[[], StateMachine]) -> int:
    """The child: `DATA_DIR UP_TO`; prints the SnapshotMeta as a JSON list."""
    data_dir, up_to = arguments
    parent = os.getppid()

    def pause() -> None:
        if os.getppid() != parent:
            sys.exit("the member that asked for it has gone")
        if shutil.disk_usage(data_dir).free < SPARE_BYTES:
            raise OSError(errno.ENOSPC, "the disk is almost full", data_dir)

    os.nice(NICENESS)
    try:
        meta = compact(RealDisk(), Path(data_dir), int(up_to), new_machine(), pause=pause)
    except (RaftError, OSError, LookupError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    said = [meta.index, meta.term, meta.time, meta.configuration_index, meta.configuration.decode()]
    sys.stdout.write(f"{json.dumps(said)}\n")
    return 0
