"""What a client sends on its websocket: bytes in, messages out (RFC 6455 §5).  No I/O.

Nearly all that clients send are text messages in one frame each, and pongs.  These are read by hand, in a tenth of the
time that a parser takes which can read everything.  From the first frame on that is anything else, or wrong, wsproto
reads this client: so what is rare, and what is an error, is decided in one place, and not here.
"""

from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping

Said = str | Event  # a whole text message, or what wsproto calls it

TEXT: Final = 0x81  # a frame's first byte: the last frame of its message, and no bit of an extension
PING: Final = 0x89
PONG: Final = 0x8A
MASKED: Final = 0x80
SHORT_MAX: Final = 125  # the longest payload whose length fits the second byte
IN_TWO_BYTES: Final = 126  # as a length: the next two bytes tell it


class Frames:
    """One client's frames.  Holds at most the beginning of one whose payload is no longer than `bytes_max`."""

    __slots__ = ("_begun", "_bytes_max", "_protocol")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._begun = b""
        self._protocol: Connection | None = None  # reads all the rest, once there was a frame that is not read here

    def read(self, data: bytes) -> list[Said]:
        """What is said by these bytes and what came before them.  Nothing comes behind a CloseConnection.

        Its reason is for our own close frame: what is wrong; nothing where it is the client that closes.
        """
        if self._protocol is not None:
            return _said(self._protocol, data)
        if self._begun:
            data = self._begun + data
        said: list[Said] = []
        start, end = 0, len(data)
        while end - start >= 2:
            first, size, mask_at = data[start], data[start + 1] - MASKED, start + 2
            if size == IN_TWO_BYTES and first == TEXT:
                mask_at += 2
                if end < mask_at:
                    break
                size = int.from_bytes(data[start + 2 : mask_at])
                known = SHORT_MAX < size <= self._bytes_max
            else:
                known = first in (TEXT, PING, PONG) and 0 <= size <= SHORT_MAX
            stop = mask_at + 4 + size
            if known and stop > end:
                break
            if not known or not _take(said, first, data[mask_at : mask_at + 4], data[mask_at + 4 : stop]):
                self._begun = b""
                self._protocol = Connection(ConnectionType.SERVER)
                return said + _said(self._protocol, data[start:])
            start = stop
        self._begun = data[start:]
        return said


def _take(said: list[Said], first: int, mask: bytes, masked: bytes) -> bool:
    """Add what this frame says; False where it is text that is no UTF-8."""
    payload = unmasked(mask, masked)
    if first == TEXT:
        try:
            said.append(payload.decode())
        except UnicodeDecodeError:
            return False
    elif first == PING:
        said.append(Ping(payload))
    return True


def unmasked(mask: bytes, masked: bytes) -> bytes:
    """RFC 6455 §5.3, all bytes in one step."""
    size = len(masked)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(masked) ^ int.from_bytes(repeated)).to_bytes(size)


def _said(protocol: Connection, data: bytes) -> list[Said]:
    protocol.receive_data(data)
    said: list[Said] = []
    for event in protocol.events():
        if isinstance(event, CloseConnection):
            # It is also wsproto's word for bytes that are no websocket's, and for text that is no UTF-8.
            is_theirs = protocol.state is ConnectionState.REMOTE_CLOSING
            said.append(CloseConnection(event.code, "" if is_theirs else event.reason))
            break
        said.append(event)
    return said
