"""The socket of a service manager, to hear a node as the systemd hears it that started it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE_S = 20


class Manager:
    """The socket, and the lines that came so far, in their order."""

    def __init__(self, address: str) -> None:
        """`address`: as in NOTIFY_SOCKET, a path or with @ an abstract one."""
        self.address = address
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(DEADLINE_S)

    def wait(self, *words: str) -> str:
        """Return the next line with any of these words.  Raises TimeoutError if none comes."""
        while True:
            lines = self._socket.recv(4096).decode().splitlines()
            self.said += lines
            for line in lines:
                if any(word in line for word in words):
                    return line

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager(address: str | Path) -> Iterator[Manager]:
    listening = Manager(str(address))
    try:
        yield listening
    finally:
        listening.close()
