"""The frames of a websocket, in both directions (RFC 6455 §5): bytes in, messages out, and back.  No I/O.

Rules
- Nearly all that clients send are text messages in one short frame each, and pongs.  `FrameReader.next` reads these
  itself; every other frame goes through `_read_other`, which holds the checks.
- A frame is refused by its header, before its payload comes: an announced size costs no memory.
- A message is whole when it is returned.  Fragments are joined here, and a control frame may come between them.
- A close frame, or an error, ends the reading: a Close is the last thing that `FrameReader.next` returns.
- A server's frame is not masked, so it is the same bytes for every socket, and is encoded once for all of them.
"""

import codecs
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """The status codes with which this server closes websockets (RFC 6455 §7.4.1, and IANA's registry)."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005  # is never sent: it stands for a close frame without a code
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013


@dataclass(frozen=True, slots=True)
class Ping:
    """A ping, to be answered by a pong with the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A pong: that it came is all it says."""


@dataclass(frozen=True, slots=True)
class Close:
    """The code and the reason to close with: the client's own code and no reason, or what is wrong."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a message whose rest is to come: it counts as a frame, and says nothing yet."""


Received = str | Ping | Pong | Close | Fragment  # str: a whole text message

# The first byte of a frame: LAST, three bits for extensions that nobody has agreed on, and the opcode.
LAST: Final = 0x80
RESERVED: Final = 0x70
CONTROL: Final = 0x08  # of the opcode: the frame is no part of a message
CONTINUATION: Final = 0x0
TEXT_OPCODE: Final = 0x1
BINARY_OPCODE: Final = 0x2
CLOSE_OPCODE: Final = 0x8
PING_OPCODE: Final = 0x9
PONG_OPCODE: Final = 0xA
TEXT: Final = LAST | TEXT_OPCODE
PING: Final = LAST | PING_OPCODE
PONG: Final = LAST | PONG_OPCODE
CLOSE: Final = LAST | CLOSE_OPCODE
_OPCODES: Final = (CONTINUATION, TEXT_OPCODE, BINARY_OPCODE, CLOSE_OPCODE, PING_OPCODE, PONG_OPCODE)

# The second byte: MASKED, and the length of the payload or of its length.
MASKED: Final = 0x80
SHORT_MAX: Final = 125  # the longest payload whose length fits the second byte, and of any control frame
IN_TWO_BYTES: Final = 126  # as a length: the next two bytes tell it
IN_EIGHT_BYTES: Final = 127
_LENGTH_BYTES: Final = {IN_TWO_BYTES: 2, IN_EIGHT_BYTES: 8}
_LENGTH_MIN: Final = {0: 0, 2: SHORT_MAX + 1, 8: 1 << 16}  # told in so many bytes; less has to be told in fewer

FRAGMENTS_MAX: Final = 1024  # of a message of up to 64 KiB: fragments of 64 bytes, which no client sends
REASON_BYTES_MAX: Final = SHORT_MAX - 2

_PONG: Final = Pong()
_FRAGMENT: Final = Fragment()
# What a close frame may say (RFC 6455 §7.4): codes of the protocol that go over the wire, and 3000 to 4999.
_CLIENT_CODES: Final = frozenset({*range(1000, 1004), *range(1007, 1014), *range(3000, 5000)})


class FrameReader:
    """The frames of one client, read one by one as they are asked for: the others wait here as bytes.

    `bytes_max` is the longest message, and `bound` the words for the client that goes beyond; both hold from the next
    frame on.  Holds what was fed at once, and at most one message of `bytes_max` and the beginning of one frame.
    """

    __slots__ = ("_at", "_data", "_decoder", "_fragments", "_message_bytes", "_pieces", "bound", "bytes_max")

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.bound = f"at most {bytes_max} bytes"
        self._data = b""
        self._at = 0  # in `_data`: what is before it was read
        # Of a message in fragments, as far as it has come; no decoder: there is none under way.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._pieces: list[str] = []
        self._message_bytes = 0
        self._fragments = 0

    def feed(self, data: bytes) -> None:
        """Take what the client sent next."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def next(self) -> Received | None:
        """Return what comes next; None if more bytes are needed.  A Close is the last."""
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
        if not known or self._decoder is not None:
            return self._read_other()
        stop = mask_at + 4 + size
        if stop > end:
            return None
        self._at = stop
        if first == PONG:
            return _PONG
        payload = unmasked(data[mask_at : mask_at + 4], data[mask_at + 4 : stop])
        if first == PING:
            return Ping(payload)
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return _INVALID_TEXT

    def _read_other(self) -> Received | None:
        """Read a frame of any kind, whose first two bytes are there."""
        data, at = self._data, self._at
        first, second = data[at], data[at + 1]
        refusal = _refused_start(first, second)
        if refusal is not None:
            return refusal
        mask_at = at + 2 + _LENGTH_BYTES.get(second & ~MASKED, 0)
        if len(data) < mask_at:
            return None
        size = int.from_bytes(data[at + 2 : mask_at]) if mask_at > at + 2 else second & ~MASKED
        refusal = self._refused(first, size, mask_at - at - 2)
        if refusal is not None:
            return refusal
        stop = mask_at + 4 + size
        if len(data) < stop:
            return None
        self._at = stop
        return self._take(first, unmasked(data[mask_at : mask_at + 4], data[mask_at + 4 : stop]))

    def _refused(self, first: int, size: int, length_bytes: int) -> Close | None:
        """Return what is wrong with a frame of this size at this place of a message."""
        opcode = first & ~LAST
        if not opcode & CONTROL and self._message_bytes + size > self.bytes_max:
            return Close(CloseCode.MESSAGE_TOO_BIG, self.bound)
        if size < _LENGTH_MIN[length_bytes]:
            return _error("a frame's length is not in its shortest form")
        if opcode & CONTROL:
            return None
        if (opcode == CONTINUATION) != (self._decoder is not None):
            return _error("a fragment is missing, or continues nothing")
        if opcode == BINARY_OPCODE:
            return Close(CloseCode.UNSUPPORTED_DATA, "text only")
        if not first & LAST and self._fragments >= FRAGMENTS_MAX:
            return Close(CloseCode.POLICY_VIOLATION, f"at most {FRAGMENTS_MAX} fragments")
        return None

    def _take(self, first: int, payload: bytes) -> Received:
        if first == CLOSE:
            return _closed_with(payload)
        if first == PING:
            return Ping(payload)
        if first == PONG:
            return _PONG
        return self._take_fragment(payload, is_last=bool(first & LAST))

    def _take_fragment(self, payload: bytes, *, is_last: bool) -> str | Close | Fragment:
        if self._decoder is None:
            self._decoder = _Decoder()
        try:
            text = self._decoder.decode(payload, is_last)
        except UnicodeDecodeError:
            return _INVALID_TEXT
        self._message_bytes += len(payload)
        self._fragments += 1
        if text:  # an endless row of empty fragments costs no memory
            self._pieces.append(text)
        if not is_last:
            return _FRAGMENT
        message = "".join(self._pieces)
        self._decoder, self._pieces, self._message_bytes, self._fragments = None, [], 0, 0
        return message


_Decoder: Final = codecs.getincrementaldecoder("utf-8")
_INVALID_TEXT: Final = Close(CloseCode.INVALID_DATA, "text that is not UTF-8")


def _error(why: str) -> Close:
    return Close(CloseCode.PROTOCOL_ERROR, why)


def _refused_start(first: int, second: int) -> Close | None:
    """Return what is wrong with the first two bytes of a frame (RFC 6455 §5.1, §5.2, §5.5)."""
    if first & RESERVED:
        return _error("a frame with reserved bits, and no extension was agreed on")
    opcode = first & ~LAST
    if opcode not in _OPCODES:
        return _error(f"a frame with the unknown opcode {opcode}")
    if opcode & CONTROL and (not first & LAST or second & ~MASKED > SHORT_MAX):
        return _error("a control frame in fragments, or longer than 125 bytes")
    if not second & MASKED:
        return _error("a client's frame that is not masked")
    return None


def _closed_with(payload: bytes) -> Close:
    """Return what a client's close frame asks to be answered with (RFC 6455 §5.5.1)."""
    if not payload:
        return Close(CloseCode.NO_STATUS, "")
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or code not in _CLIENT_CODES:
        return _error("a close frame with a code that no client may send")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return Close(CloseCode.INVALID_DATA, "the reason of a close frame is not UTF-8")
    return Close(code, "")


def unmasked(mask: bytes, masked: bytes) -> bytes:
    """Take the mask off, all bytes in one step (RFC 6455 §5.3)."""
    size = len(masked)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(masked) ^ int.from_bytes(repeated)).to_bytes(size)


def server_frame(first: int, payload: bytes) -> bytes:
    """A whole frame from a server (RFC 6455 §5.2); `first` is TEXT, PING, PONG or CLOSE."""
    size = len(payload)
    if size <= SHORT_MAX:
        return b"%c%c%b" % (first, size, payload)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, struct.pack("!H", size), payload)
    return b"%c\x7f%b%b" % (first, struct.pack("!Q", size), payload)


def text_frame(payload: bytes) -> bytes:
    """The frame of a text message; `payload` is UTF-8."""
    return server_frame(TEXT, payload)


def close_frame(code: int, reason: str) -> bytes:
    """The frame that ends a connection (RFC 6455 §5.5.1); `reason` is cut to what fits a control frame."""
    if code == CloseCode.NO_STATUS:
        return server_frame(CLOSE, b"")
    return server_frame(CLOSE, struct.pack("!H", code) + reason.encode("ascii", "replace")[:REASON_BYTES_MAX])


def end_of_frame(frames: bytes, start: int) -> int:
    """Return where the server's frame ends that begins at `start`."""
    size, begin = frames[start + 1], start + 2
    length_bytes = _LENGTH_BYTES.get(size, 0)
    if length_bytes:
        size = int.from_bytes(frames[begin : begin + length_bytes])
    return begin + length_bytes + size
