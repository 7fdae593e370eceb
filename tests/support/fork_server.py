"""A process that has imported raft-chat and forks a node whenever it is asked to: `fork_server.py DESCRIPTOR`.

An interpreter takes half a second of a core to import raft-chat, and the tests start hundreds of nodes. A forked node
is a process like any other: it has its own arguments, environment, directory and output, and it runs `main` to the
interpreter's end. Only the import is not repeated.

Rules.
- A request is one message on the control socket, with two descriptors: the node's output and a status socket.
- The server answers on the status socket with the node's pid, and with its exit code once the node has ended.
- A node dies with its server (PR_SET_PDEATHSIG), and the server ends when the control socket does. So a test run that
  is killed leaves no node.
- The server has one thread, and a node keeps no descriptor of it.
"""

import ctypes
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NUMBER = struct.Struct("=q")  # a pid, then an exit code
REQUEST_BYTES_MAX = 1 << 17  # arguments and an environment; what a socket's buffer takes at once
DESCRIPTORS = 2  # that come with a request
DESCRIPTORS_END = 1 << 20  # more than a process may open
PR_SET_PDEATHSIG = 1


class Server:
    """The control socket, and each node that runs by the descriptor that tells of its end."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._nodes: dict[int, tuple[int, int]] = {}  # pidfd -> pid, status descriptor

    def serve(self) -> dict[str, Any] | None:
        """Fork nodes until the control socket ends; in a node: what was asked for, and in the server None."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._nodes:
                    self._tell_end(descriptor)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._control, REQUEST_BYTES_MAX, DESCRIPTORS)
                if not message:
                    return None
                request: dict[str, Any] = json.loads(message)
                if self._fork(request, *descriptors):
                    return request

    def _fork(self, request: dict[str, Any], output: int, status: int) -> bool:
        """Whether this is the node."""
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._control.detach()
            _become(request, output, server)
            return True
        os.close(output)
        ending = os.pidfd_open(pid)
        self._nodes[ending] = (pid, status)
        self._poll.register(ending, select.POLLIN)
        os.write(status, NUMBER.pack(pid))
        return False

    def _tell_end(self, ending: int) -> None:
        pid, status = self._nodes.pop(ending)
        self._poll.unregister(ending)
        os.close(ending)
        _, how = os.waitpid(pid, 0)
        with suppress(BrokenPipeError):  # nobody wants to know
            os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(how)))
        os.close(status)


def _become(request: dict[str, Any], output: int, server: int) -> None:
    """Make this process, just forked, what a new interpreter would be that was started so."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)  # it has died already
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, DESCRIPTORS_END)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the tests, and ends the control socket
    sys.path[0] = str(ROOT)
    import raft_chat
    import raft_chat_node  # noqa: F401 - what a node runs

    gc.collect()
    gc.freeze()  # the nodes share these pages
    request = Server(control).serve()
    if request is None:
        return 0
    signal.pthread_sigmask(signal.SIG_BLOCK, raft_chat.SIGNALS)  # as the program does before its imports
    exec(request["setup"], {"__name__": "setup"})
    return raft_chat.main()


if __name__ == "__main__":
    sys.exit(main())
