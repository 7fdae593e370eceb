"""A port on which a member can come, go and come back: while nobody is in, connections are refused."""

from collections.abc import Callable, Iterable
from typing import Any

from chat.server.server import Limits, Server
from raft.rpc.peer_client import BODY_BYTES_MAX
from tests.support.ports import Port

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class PeerPort:
    """Owns a free port of 127.0.0.1 for as long as it is not closed."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._server: Server | None = None
        self._port = Port()
        self.url = f"http://127.0.0.1:{self._port.number}"

    def open(self, app: App) -> None:
        """Serve `app`."""
        assert self._server is None
        limits = Limits(body_bytes=BODY_BYTES_MAX)
        self._server = Server(app, "127.0.0.1", self._port.number, name=self._name, limits=limits)
        self._server.start()

    def shut(self) -> None:
        """Cut all connections, refuse new ones."""
        server, self._server = self._server, None
        if server is not None:
            server.drain(0.0)

    def close(self) -> None:
        """Give the port back."""
        self.shut()
        self._port.release()
