"""A websocket's bytes (RFC 6455), for clients that are plain sockets: the handshake, a client's frames, a server's.

Those clients are thousands in one thread, beside a node that is measured: they must cost less than it does.  A server's
frames are found by their length, unmasked and unfragmented as ours are, and nothing of them is checked.  Any other test
uses `websocket_client.py`, which checks everything.
"""

import base64
import os

from tests.support.http_client import HOST

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FIN = 0x80
NO_MASK = bytes(4)  # a mask like any other, and XOR with zeros is no work


def handshake(port: int, *headers: str, path: str = "/ws", key: str = "") -> bytes:
    """The request that opens a websocket (§4.1); `headers`: more of them, as lines."""
    key = key or base64.b64encode(os.urandom(16)).decode()
    more = "".join(f"{header}\r\n" for header in headers)
    return (
        f"GET {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    ).encode()


def client_frame(payload: bytes, first: int = FIN | TEXT, mask: bytes = NO_MASK) -> bytes:
    """A client's frame (§5.2); `first`: its first byte, FIN and the opcode."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    else:
        length = b"\xfe" + size.to_bytes(2) if size < 1 << 16 else b"\xff" + size.to_bytes(8)
    return bytes([first]) + length + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """A payload as it is sent under a mask of four bytes (§5.3)."""
    if mask == NO_MASK or not payload:
        return payload
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(size)


def frame_end(data: bytes | bytearray, start: int) -> int:
    """Where a server's frame that begins at `start` ends; 0 where it is not all there."""
    if len(data) < start + 2:
        return 0
    size, head = data[start + 1], 2
    if size == 126:
        size, head = int.from_bytes(data[start + 2 : start + 4]), 4
    elif size == 127:
        size, head = int.from_bytes(data[start + 2 : start + 10]), 10
    end = start + head + size
    return end if len(data) >= end and len(data) >= start + head else 0


def frame_at(data: bytearray, start: int) -> tuple[int, bytes, int] | None:
    """Opcode, payload and end of a server's frame that begins at `start`; None where it is not all there."""
    end = frame_end(data, start)
    if not end:
        return None
    size = data[start + 1]
    head = 2 if size < 126 else 4 if size == 126 else 10
    return data[start] & 15, bytes(data[start + head : end]), end
