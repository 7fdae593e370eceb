"""What a client sends on its websocket: bytes in, messages out (RFC 6455 §5).  No I/O.

Nearly all that clients send are text messages in one frame each, and pongs.  These are read by hand, in a tenth of the
time that a parser takes which can read everything.  From the first frame on that is anything else, or wrong, wsproto
reads this client: so what is rare, and what is an error, is decided in one place, and not here.
"""

from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping
from wsproto.frame_protocol import CloseReason

Said = str | Event  # a whole text message, or what wsproto calls it

TEXT: Final = 0x81  # a frame's first byte: the last frame of its message, and no bit of an extension
PING: Final = 0x89
PONG: Final = 0x8A
MASKED: Final = 0x80
SHORT_MAX: Final = 125  # the longest payload whose length fits the second byte
IN_TWO_BYTES: Final = 126  # as a length: the next two bytes tell it
IN_EIGHT_BYTES: Final = 127
LAST: Final = 0x80  # in the first byte: the last frame of its message
DATA: Final = (0x0, 0x1, 0x2)  # without LAST: a continuation, text, bytes; no bit of an extension
CONTROL: Final = 0x08  # in the first byte: a frame that is no part of a message
FRAGMENTS_MAX: Final = 1024  # of a message of up to 64 KiB: fragments of 64 bytes, which no client sends


class Frames:
    """One client's frames.  Holds at most the beginning of one whose payload is no longer than `bytes_max`."""

    __slots__ = ("_begun", "_bytes_max", "_headers", "_protocol")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._begun = b""
        self._protocol: Connection | None = None  # reads all the rest, once there was a frame that is not read here
        self._headers = _Headers(bytes_max)  # of what the protocol reads

    def read(self, data: bytes) -> list[Said]:
        """What is said by these bytes and what came before them.  Nothing comes behind a CloseConnection.

        Its reason is for our own close frame: what is wrong; nothing where it is the client that closes.
        """
        if self._protocol is not None:
            return self._parsed(self._protocol, data)
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
                return said + self._parsed(self._protocol, data[start:])
            start = stop
        self._begun = data[start:]
        return said

    def _parsed(self, protocol: Connection, data: bytes) -> list[Said]:
        refusal = self._headers.refusal(data)
        return _said(protocol, data) if refusal is None else [refusal]


class _Headers:
    """Looks at each frame's header in a stream of frames: its announced length, and how many fragments a message has.

    A header that announces too much is refused before a byte of its payload comes, and so are fragments without end,
    which cost work and no bytes.
    """

    __slots__ = ("_begun", "_bytes_max", "_fragments", "_skip")

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._begun = b""  # of a header
        self._skip = 0  # bytes of payload to come before the next header
        self._fragments = 0  # of the message under way

    def refusal(self, data: bytes) -> CloseConnection | None:
        """What to close with, where the stream holds a frame that is refused."""
        data = self._begun + data
        at, end = self._skip, len(data)
        while end - at >= 2:
            first, size = data[at], data[at + 1] & 0x7F
            extra = {IN_TWO_BYTES: 2, IN_EIGHT_BYTES: 8}.get(size, 0)
            if end - at < 2 + extra:
                break
            if extra:
                size = int.from_bytes(data[at + 2 : at + 2 + extra])
            if first & ~LAST in DATA and size > self._bytes_max:  # what is no frame at all, the protocol refuses
                return CloseConnection(CloseReason.MESSAGE_TOO_BIG, f"at most {self._bytes_max} bytes")
            if not first & CONTROL:
                self._fragments = 0 if first & LAST else self._fragments + 1
                if self._fragments > FRAGMENTS_MAX:
                    return CloseConnection(CloseReason.POLICY_VIOLATION, f"at most {FRAGMENTS_MAX} fragments")
            at += 2 + extra + (4 if data[at + 1] & MASKED else 0) + size
        self._begun, self._skip = (data[at:], 0) if at < end else (b"", at - end)
        return None


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
