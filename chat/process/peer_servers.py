"""The servers that peers call, and the limits of their connections before and after a peer has proved itself."""

import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from chat.server.limits import Limits
from chat.server.server import Server

# The peers' port may use nearly every descriptor: what the clients' port keeps spare is kept for it.  Some are left for
# the log's files, and to refuse a peer in words.
_CONNECTIONS_MAX: Final = 512


def proved_limits(body_bytes: int) -> Limits:
    """The limits of a peer that has proved itself; `body_bytes`: the longest call."""
    return Limits(body_bytes=body_bytes, connections=_CONNECTIONS_MAX, head_deadline_s=2.0, spare_descriptors=16)


def stranger_limits(proved: Limits) -> Limits:
    """The limits until a peer has proved the secret: a handshake is small and quick.

    An ordinary call fits, to be refused in words.
    """
    return replace(proved, body_bytes=4 << 10, idle_s=2.0, stranger_s=4.0)


class PeerServers:
    """The servers of one node, one an address."""

    def __init__(self, app: Any, limits: Limits, context: Callable[[], ssl.SSLContext | None]) -> None:
        """`app` serves the calls; `limits` are those of a stranger; `context` gives the settings of TLS."""
        self._app = app
        self._limits = limits
        self._context = context
        self._servers: list[Server] = []

    def listen(self, host: str, port: int, on_call: Callable[[], None]) -> Server:
        """Bind one address.  Raises OSError."""

        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            on_call()
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer

        server = Server(app, host, port, name="peers", limits=self._limits, ssl_context=self._context())
        self._servers.append(server)
        return server

    def renew_contexts(self) -> None:
        """Use the settings of TLS that are in force now, for new connections."""
        for server in self._servers:
            server.ssl_context = self._context()
