"""`/ws`: the opening handshake (RFC 6455 §4.2).  Then the hub has the socket, and `protocol.py` the messages.

Rules
- A request that is no upgrade, comes from a page of another origin or has a malformed token is answered in HTTP, and
  its socket is not taken.  The token is looked up once the socket is the hub's (`authentication.py`).
- No extension is agreed on, above all not per-message deflate: all sockets share the same frames.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from hashlib import sha1
from http import HTTPStatus
from typing import TYPE_CHECKING

from chat.auth.authenticator import is_operators
from chat.auth.guest_pages import is_of_guest_page
from chat.auth.origins import foreign, is_ours, is_over_tls
from chat.errors import Problem, all_taken, invalid, unavailable
from chat.realtime.authentication import Realtime
from chat.realtime.protocol import ClientProtocol
from chat.server.networks import network

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)


def open_websocket(realtime: Realtime, environ: "WSGIEnvironment") -> None:
    """Take the connection over and answer with 101.  Raises Problem; then the connection is not taken."""
    hub = realtime.hub
    check_upgrade(environ, realtime.nodes)
    if hub.ending:
        raise unavailable("this node is shutting down")
    actor = realtime.authenticator.authenticate(environ)
    if actor is None:
        realtime.authenticator.charge_unknown_token(environ)
    if not hub.admits(network(environ["REMOTE_ADDR"]), is_operator=is_operators(environ, actor)):
        raise all_taken("websockets")
    hub.attach(
        environ["raft_chat.detach"](),
        switching_protocols(environ["HTTP_SEC_WEBSOCKET_KEY"]),
        environ.get("raft_chat.read_ahead", b""),
        partial(ClientProtocol, realtime, environ),
        network(environ["REMOTE_ADDR"]),
    )


def check_upgrade(environ: "WSGIEnvironment", nodes: Callable[[], list[str]]) -> None:
    """Check the upgrade (RFC 6455 §4.2.1) and the origin.  Raises Problem."""
    upgrade = environ.get("HTTP_UPGRADE", "").lower()
    if environ["REQUEST_METHOD"] != "GET" or "websocket" not in _tokens(upgrade):
        raise _upgrade_required("this is a websocket: ask with GET and Upgrade: websocket")
    if "upgrade" not in _tokens(environ.get("HTTP_CONNECTION", "").lower()):
        raise invalid("Connection", "must be Upgrade")
    if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
        raise _upgrade_required("Sec-WebSocket-Version: must be 13")
    if not _is_key(environ.get("HTTP_SEC_WEBSOCKET_KEY", "")):
        raise invalid("Sec-WebSocket-Key", "must be 16 bytes in base64")
    origin = environ.get("HTTP_ORIGIN")
    host = environ.get("HTTP_HOST", "")
    if origin is None or is_of_guest_page(environ):
        return
    if not is_ours(origin, host, nodes(), over_tls=is_over_tls(environ)):
        raise foreign(origin, host)


def _upgrade_required(detail: str) -> Problem:
    headers = (("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"))
    return Problem(HTTPStatus.UPGRADE_REQUIRED, "upgrade_required", detail, headers)


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.split(",")]


def _is_key(key: str) -> bool:
    try:
        return len(b64decode(key, validate=True)) == 16
    except ValueError:
        return False


def switching_protocols(key: str) -> bytes:
    """The 101 (RFC 6455 §4.2.2): behind it the socket is a websocket.

    The request was checked (`check_upgrade`), and nothing of it matters but the key.  simple-websocket's own handshake
    takes an HTTP parser, a selector and an event for each socket, 140 µs instead of 5, and thousands come at once.
    """
    return _SWITCHING % b64encode(sha1(key.encode("ascii") + _GUID, usedforsecurity=False).digest())
