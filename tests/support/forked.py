"""Nodes that are forked instead of started: what a test holds of them, and the servers that fork them."""

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import IO, NamedTuple, Protocol

from tests.support.fork_server import NUMBER, ROOT

COMMAND = (sys.executable, str(ROOT / "raft_chat.py"))
_SERVER = ROOT / "tests" / "support" / "fork_server.py"
_LOOK_AGAIN_S = 0.5  # for a status socket that another thread has closed
SERVERS = 3  # each with a hash seed of its own, as three interpreters have: what hangs on the order of a set differs


class Process(Protocol):
    """A node's process, forked or started; as subprocess.Popen has it."""

    pid: int

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Forked(NamedTuple):
    """raft-chat, run by a fork of a server that has imported it, after the Python statements of `setup`."""

    setup: str = ""

    def command(self) -> tuple[str, ...]:
        """The same program as a command, for who needs an interpreter of its own."""
        if not self.setup:
            return COMMAND
        begin = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import raft_chat"
        return (sys.executable, "-c", f"{begin}\n{self.setup}\nsys.exit(raft_chat.main())")


class ForkedProcess:
    """One forked node; any thread may ask."""

    def __init__(self, status: socket.socket) -> None:
        self._status = status
        self._lock = Lock()
        self.returncode: int | None = None
        told = status.recv(NUMBER.size)
        assert told, "the server of forks has ended"
        (self.pid,) = NUMBER.unpack(told)

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None:
                with suppress(BlockingIOError):
                    told = self._status.recv(NUMBER.size, socket.MSG_DONTWAIT)
                    # The nodes of a server that has ended are killed with it.
                    (self.returncode,) = NUMBER.unpack(told) if told else (-signal.SIGKILL,)
                    self._status.close()
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else monotonic() + timeout
        while (code := self.poll()) is None:
            left_s = _LOOK_AGAIN_S if end is None else end - monotonic()
            if left_s <= 0:
                assert timeout is not None
                raise subprocess.TimeoutExpired(COMMAND, timeout)
            with suppress(OSError, ValueError):  # closed meanwhile
                select.select([self._status], [], [], min(left_s, _LOOK_AGAIN_S))
        return code

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended, and its server has not said so yet
                os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    """A server of forks, from when it is first needed until this process ends."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
            )
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.wait()

    def fork(self, request: Mapping[str, object], output: IO[bytes]) -> ForkedProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            message = json.dumps(request).encode()
            socket.send_fds(self._control, [message], [output.fileno(), theirs.fileno()])
        return ForkedProcess(ours)


@cache
def _server(number: int) -> _Server:
    return _Server()


def start(
    program: Forked, flags: Sequence[str], *, number: int, directory: Path, environment: Mapping[str, str],
    output: IO[bytes],
) -> ForkedProcess:  # fmt: skip
    """Fork a node with these flags; `number`: of the node, so that those of a cluster have different servers."""
    request = {
        "setup": program.setup,
        "arguments": [COMMAND[1], *flags],
        "directory": str(directory),
        "environment": dict(environment),
    }
    return _server(number % SERVERS).fork(request, output)
