"""What a client sends on its websocket: bytes in, messages out (RFC 6455 §5).  No I/O.

Nearly all that clients send are text messages in one frame each, and pongs.  These are read by hand, in a tenth of the
time that a parser takes which can read everything.  From the first frame on that is anything else, or wrong, wsproto
reads this client: so what is rare, and what is an error, is decided in one place, and not here.
"""

from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong
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
    """One client's frames, read one by one as they are asked for: what is not asked for waits here as bytes.

    `bytes_max` is the longest message, and `bound` what a client is told of it; both hold from the next frame on.
    Holds what was fed at once, and at most the beginning of one frame whose payload is no longer than `bytes_max`.
    """

    __slots__ = ("_at", "_data", "_events", "_fragments", "_left", "_protocol", "bound", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bound = f"at most {bytes_max} bytes"
        self._data = b""
        self._at = 0  # in `_data`: what is before it was read
        self._protocol: Connection | None = None  # reads all the rest, once there was a frame that is not read here
        self._events: list[Said] = []  # of the protocol's, the next one last
        self._left = 0  # of the protocol's frame: bytes to come
        self._fragments = 0  # of the protocol's message under way

    def feed(self, data: bytes) -> None:
        """Take what the client sent next."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Said | None:
        """What the next frame says; None where more bytes are needed.  Nothing comes behind a CloseConnection.

        Its reason is for our own close frame: what is wrong; nothing where it is the client that closes.
        """
        if self._protocol is not None:
            return self._parsed(self._protocol)
        data, start, end = self._data, self._at, len(self._data)
        if end - start < 2:
            return None
        first, size, mask_at = data[start], data[start + 1] - MASKED, start + 2
        if size == IN_TWO_BYTES and first == TEXT:
            mask_at += 2
            if end < mask_at:
                return None
            size = int.from_bytes(data[start + 2 : mask_at])
            known = SHORT_MAX < size <= self.bytes_max
        else:
            known = first in (TEXT, PING, PONG) and 0 <= size <= SHORT_MAX
        stop = mask_at + 4 + size
        if known and stop > end:
            return None
        said = _said_by(first, data[mask_at : mask_at + 4], data[mask_at + 4 : stop]) if known else None
        if said is not None:
            self._at = stop
            return said
        self._protocol = Connection(ConnectionType.SERVER)
        return self._parsed(self._protocol)

    def _parsed(self, protocol: Connection) -> Said | None:
        """What wsproto says next.  It gets no more than one frame at a time, whose header was looked at here."""
        while not self._events:
            refusal = None if self._left else self._begin_frame()
            if refusal is not None:
                return refusal
            piece = self._data[self._at : self._at + self._left]
            if not piece:
                return None
            self._at += len(piece)
            self._left -= len(piece)
            self._events = _said(protocol, piece)[::-1]
        return self._events.pop()

    def _begin_frame(self) -> CloseConnection | None:
        """Read the next frame's header, if it is there; what to close with, where the frame is refused.

        A header that announces too much is refused before a byte of its payload comes, and so are fragments without
        end, which cost work and no bytes.
        """
        data, at = self._data, self._at
        if len(data) - at < 2:
            return None
        first, size = data[at], data[at + 1] & ~MASKED
        extra = {IN_TWO_BYTES: 2, IN_EIGHT_BYTES: 8}.get(size, 0)
        if len(data) - at < 2 + extra:
            return None
        if extra:
            size = int.from_bytes(data[at + 2 : at + 2 + extra])
        if first & ~LAST in DATA and size > self.bytes_max:  # what is no frame at all, the protocol refuses
            return CloseConnection(CloseReason.MESSAGE_TOO_BIG, self.bound)
        if not first & CONTROL:
            self._fragments = 0 if first & LAST else self._fragments + 1
            if self._fragments > FRAGMENTS_MAX:
                return CloseConnection(CloseReason.POLICY_VIOLATION, f"at most {FRAGMENTS_MAX} fragments")
        self._left = 2 + extra + (4 if data[at + 1] & MASKED else 0) + size
        return None


_PONG: Final = Pong()


def _said_by(first: int, mask: bytes, masked: bytes) -> Said | None:
    """What this frame says; None where it is text that is no UTF-8."""
    if first == PONG:  # that it came is all it says
        return _PONG
    payload = unmasked(mask, masked)
    if first == PING:
        return Ping(payload)
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


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
