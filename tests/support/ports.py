"""Ports of 127.0.0.1 that are nobody else's for as long as a test may need them.

A port found by binding to 0 and closing again may be anybody's by the time the node binds it: another test's, or the
near end of some outgoing connection, above all while a killed node is down.  So each port stays reserved: a socket with
SO_REUSEADDR is bound to it and never listens.  Linux lets a second socket with SO_REUSEADDR (every server's) bind and
listen beside it, but neither gives the port out for a bind to 0 nor uses it for a connection; so parallel tests never
meet.  While no server listens, connections are refused.
"""

import socket

from tests.support.http_client import HOST


class Port:
    """A port that is nobody else's until it is released."""

    def __init__(self) -> None:
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind((HOST, 0))
        self.number: int = self._holder.getsockname()[1]

    def release(self) -> None:
        self._holder.close()
