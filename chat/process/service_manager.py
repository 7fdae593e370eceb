"""Messages to the service manager that started this process: the protocol of sd_notify(3), without its library.

systemd sets NOTIFY_SOCKET for a unit of Type=notify.  Each message is one datagram.  Without that variable nothing is
sent.  A lost message is not worth an error: the manager has deadlines of its own.
"""

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from threading import Event, Thread

VARIABLE = "NOTIFY_SOCKET"
STATUS_POINTS_MAX = 200  # one line of `systemctl status`
STATUS_LOOK_S = 1.0
STARTING_S = 60  # the time that a start asks for at each sign of progress, many times what lies between two of them


class ServiceManager:
    """The service manager of this process, if there is one."""

    def __init__(self, environment: MutableMapping[str, str] | None = None) -> None:
        """Take the variable out of the environment, so that no child of this process sends messages too."""
        path = (os.environ if environment is None else environment).pop(VARIABLE, "")
        abstract = path.startswith("@")
        # A path that begins in another way is a virtual machine's, and not served.
        self._address = f"\0{path[1:]}" if abstract else path if path.startswith("/") else ""
        self._status = ""
        self._is_ready = False

    @property
    def listens(self) -> bool:
        """True if somebody is told."""
        return bool(self._address)

    def ready(self) -> None:
        """Say that the start is complete."""
        self._is_ready = True
        self._send("READY=1")

    def reloaded(self) -> None:
        """Say that a reload is complete; nothing during the start, which would count as complete then."""
        if self._is_ready:
            self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is being read again; `reloaded` follows."""
        if self._is_ready:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Tell one line for people, if it is another one than before."""
        line = " ".join(text.split())[:STATUS_POINTS_MAX]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def starting(self, text: str) -> None:
        """Tell the progress of a long start, and ask for more time."""
        self._send(f"EXTEND_TIMEOUT_USEC={STARTING_S * 1_000_000}")
        self.status(text)

    def follow(self, status: Callable[[], str], ended: Event) -> None:
        """Tell each change of `status()` from a thread of its own, until `ended`."""
        if self.listens:
            Thread(target=self._follow, args=(status, ended), name="service-manager", daemon=True).start()

    def _follow(self, status: Callable[[], str], ended: Event) -> None:
        while not ended.is_set():
            self.status(status())
            ended.wait(STATUS_LOOK_S)

    def _send(self, message: str) -> None:
        if self._address:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # a manager that reads nothing stops no node
                sender.sendto(message.encode(errors="replace"), self._address)
