"""Read HTTP/1.1 requests strictly and without I/O: bytes go in, a Request comes out or an HttpError is raised.

With keep-alive, two readings of one byte stream are a way to smuggle a request past a proxy.  So bytes that two parsers
could read differently are refused, and the connection is closed:
- a line ends in CRLF; a bare CR or LF is an error (RFC 9112 §2.2), and so is a line folded onto the next (§5.2);
- single spaces in the request line; no white space around a header's name or before its colon (§5.1);
- HTTP/1.1 needs exactly one Host, of legal form (§3.2); in a target of absolute form, that one counts (§3.2.2);
- Content-Length is digits, once; with Transfer-Encoding it is an attack (§6.3); two are one too many even if equal;
- Transfer-Encoding is `chunked`, once, and not in HTTP/1.0 (§6.1);
- a chunk's size is hexadecimal digits and nothing else: no sign, prefix, underscore or space (§7.1);
- a header with `_` in its name is dropped: in `environ` it would be taken for the one with `-`.
RFC 9112 would have 501 for an unknown coding and 505 for an unknown version; here both are 400, since they are the
client's doing, and a 5xx is what our own alarms look for.
"""

import io
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from chat.server.limits import Limits

_TOKEN: Final = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"  # RFC 9110 §5.6.2, inside brackets
# Possessive throughout: each piece ends where a character of another set begins, so nothing is ever tried again.
# Bytes above 0x7f are let through in a target, since curl sends a URL as it was typed, and in values (obs-text).
_HEAD: Final = re.compile(
    rb"[%b]{1,32}+ [^\x00-\x20#\x7f]++ HTTP/1\.[0-9](?:\r\n[%b]++:[^\x00-\x08\x0a-\x1f\x7f]*+)*+" % (_TOKEN, _TOKEN)
)
_REQUEST_LINE: Final = re.compile(rb"[%b]{1,32}+ [^\x00-\x20#\x7f]++ HTTP/1\.[0-9]" % _TOKEN)
_HEADER: Final = re.compile(rb"[%b]++:[^\x00-\x08\x0a-\x1f\x7f]*+" % _TOKEN)
_STRAY: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r(?=[^\n])")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,}\]|[0-9A-Za-z\-._~!$&'()*+,;=%]+)(?::[0-9]{0,5})?")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")
_CHUNK_LINE_BYTES_MAX: Final = 256
CHUNKS_MAX: Final = 8 * 1024  # of a body: each takes 2 µs, however short; the longest body in chunks of 16 bytes
LENGTH_DIGITS_MAX: Final = 15  # more than any body, and int() stays quick

_COMMON_HEADERS: Final = (
    "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length",
    "Content-Type", "Cookie", "Expect", "HttpServer", "If-None-Match", "Origin", "Referer", "Sec-Fetch-Dest",
    "Sec-Fetch-Mode", "Sec-Fetch-Site", "Transfer-Encoding", "Upgrade", "User-Agent", "X-Forwarded-For",
)  # fmt: skip


def _environ_key(name: str) -> str:
    """The key in a WSGI environ (PEP 3333) for a header; "" for one that must not get there."""
    if "_" in name:
        return ""
    key = name.upper().replace("-", "_")
    return key if key in ("CONTENT_LENGTH", "CONTENT_TYPE") else f"HTTP_{key}"


# What nearly every request carries, in both usual spellings; the rest is worked out each time.
_KEYS: Final = {spelling: _environ_key(name) for name in _COMMON_HEADERS for spelling in (name, name.lower())}


class HttpError(Exception):
    """A request that the application never sees: answered with `status` and a problem, then the connection ends."""

    def __init__(self, status: int, code: str, detail: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers


class Request(NamedTuple):
    """A well-formed head.  A named tuple, because it is the quickest to make."""

    method: str
    target: str  # of origin form, undecoded
    path: str  # percent-decoded; its bytes as latin-1 (PEP 3333)
    query: str  # undecoded
    protocol: str  # "HTTP/1.0" or "HTTP/1.1"
    fields: dict[str, str]  # the headers, by their keys in environ
    length: int  # of the body; 0 where it is chunked or none
    chunked: bool
    keep_alive: bool
    expects_continue: bool


def parse_head(head: bytes, limits: Limits) -> Request:
    """Read a whole head, without the empty line that ends it.  Raises HttpError."""
    _check_lines(head, limits)
    if _HEAD.fullmatch(head) is None:
        raise _malformed(_what_is_wrong_with(head))
    request_line, *lines = head.decode("latin-1").split("\r\n")
    if len(lines) > limits.headers:
        raise HttpError(431, "too_many_headers", f"more than {limits.headers} headers")
    method, target, protocol = request_line.split(" ")
    if protocol != "HTTP/1.0":
        protocol = "HTTP/1.1"  # RFC 9110 §2.5: a higher minor version is read as the highest one known
    fields = _fields(lines)
    if not target.startswith("/"):
        target = _origin_form(method, target, fields)
    path, _, query = target.partition("?")
    if "%" in target:
        if _BAD_ESCAPE.search(target):
            raise _malformed("the request target has a % without two hexadecimal digits")
        path = unquote_to_bytes(path.encode("latin-1")).decode("latin-1")
    _check_host(protocol, fields)
    length, chunked = _framing(protocol, fields)
    if protocol == "HTTP/1.0":
        fields.pop("HTTP_UPGRADE", None)  # RFC 9110 §7.8: ignored in an HTTP/1.0 request
    expect = fields.get("HTTP_EXPECT")
    if expect is not None and expect.lower() != "100-continue":
        raise HttpError(417, "expectation_failed", "Expect: only 100-continue is supported")
    return Request(
        method=method,
        target=target,
        path=path,
        query=query,
        protocol=protocol,
        fields=fields,
        length=length,
        chunked=chunked,
        keep_alive=_keep_alive(protocol, fields.get("HTTP_CONNECTION")),
        expects_continue=expect is not None and protocol == "HTTP/1.1",
    )


def check_partial_head(data: bytes | bytearray, limits: Limits, seen: int = 0) -> None:
    """Refuse a head at once that no further byte can mend.  Raises HttpError.

    `seen`: how many bytes of it were checked before; so a head that comes byte by byte costs no more than a whole one.
    """
    if _STRAY.search(data, max(0, seen - 2)):
        raise _malformed("a control character, or a CR or LF by itself, in the head")
    line = data.rfind(b"\r\n", max(0, seen - limits.line_bytes - 2), seen)  # the end of the last line that was whole
    if line < 0 or len(data) > limits.head_bytes:
        _check_lines(data, limits)
        return
    while (end := data.find(b"\r\n", max(line + 2, seen - 1))) >= 0 or len(data) - line - 2 > limits.line_bytes:
        if (len(data) if end < 0 else end) - line - 2 > limits.line_bytes:
            raise HttpError(431, "header_too_large", f"a header is over {limits.line_bytes} bytes")
        line = end


def _check_lines(head: bytes | bytearray, limits: Limits) -> None:
    if len(head) > limits.head_bytes:
        raise HttpError(431, "head_too_large", f"the head is over {limits.head_bytes} bytes")
    if len(head) <= limits.line_bytes:
        return
    request_line, *lines = head.split(b"\r\n")
    if len(request_line) > limits.line_bytes:
        raise HttpError(414, "target_too_long", f"the request line is over {limits.line_bytes} bytes")
    if any(len(line) > limits.line_bytes for line in lines):
        raise HttpError(431, "header_too_large", f"a header is over {limits.line_bytes} bytes")


def _malformed(detail: str) -> HttpError:
    return HttpError(400, "malformed_request", detail)


def _what_is_wrong_with(head: bytes) -> str:
    """Describe the first malformed line of a head, without repeating it."""
    request_line, *lines = head.split(b"\r\n")
    if _REQUEST_LINE.fullmatch(request_line) is None:
        return "the request line is not `method target HTTP/1.1` with single spaces"
    place = next((n for n, line in enumerate(lines, 1) if _HEADER.fullmatch(line) is None), 0)
    if lines[place - 1][:1] in (b" ", b"\t"):
        return f"header {place} is folded onto the line before"
    return f"header {place} is not `name: value`"


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = _KEYS.get(name) or _environ_key(name)
        value = value.strip(" \t")
        if key in fields:
            value = _combined(key, fields[key], value)
        fields[key] = value
    fields.pop("", None)
    return fields


def _combined(key: str, first: str, second: str) -> str:
    """Join two headers of one name (RFC 9110 §5.3).  Those that decide where a request goes or ends are refused."""
    if key in ("HTTP_HOST", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"):
        raise _malformed(f"{key.removeprefix('HTTP_').replace('_', '-').title()} is given twice")
    return f"{first}; {second}" if key == "HTTP_COOKIE" else f"{first},{second}"


def _origin_form(method: str, target: str, fields: dict[str, str]) -> str:
    """Return a target of absolute form in origin form; its authority replaces Host (RFC 9112 §3.2.2)."""
    if target == "*" and method == "OPTIONS":
        return target
    scheme, separator, rest = target.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise _malformed("the request target is neither a path nor an http URL")
    authority = re.split("[/?]", rest, maxsplit=1)[0]
    if _HOST.fullmatch(authority) is None:
        raise _malformed("the host in the request target is malformed")
    if "HTTP_HOST" in fields:  # where it is missing, that is still an error
        fields["HTTP_HOST"] = authority
    path = rest[len(authority) :]
    return path if path.startswith("/") else f"/{path}"


def _check_host(protocol: str, fields: dict[str, str]) -> None:
    host = fields.get("HTTP_HOST")
    if host is None:
        if protocol != "HTTP/1.0":
            raise _malformed("Host is missing")
    elif _HOST.fullmatch(host) is None:
        raise _malformed("Host is malformed")


def _framing(protocol: str, fields: dict[str, str]) -> tuple[int, bool]:
    """The length of the body, and whether it is chunked instead (RFC 9112 §6.3)."""
    length = fields.get("CONTENT_LENGTH")
    coding = fields.get("HTTP_TRANSFER_ENCODING")
    if coding is not None:
        if length is not None:
            raise _malformed("Transfer-Encoding and Content-Length are both given")
        if protocol == "HTTP/1.0" or coding.lower() != "chunked":
            raise _malformed("Transfer-Encoding: only chunked is supported, in HTTP/1.1")
        return 0, True
    if length is None:
        return 0, False
    # isdigit() alone takes a superscript two.
    if not (length.isascii() and length.isdigit() and len(length) <= LENGTH_DIGITS_MAX):
        raise _malformed("Content-Length is not a number")
    return int(length), False


def _keep_alive(protocol: str, connection: str | None) -> bool:
    if connection is None:
        return protocol == "HTTP/1.1"
    options = {option.strip(" \t").lower() for option in connection.split(",")}
    if "close" in options:
        return False
    return protocol == "HTTP/1.1" or "keep-alive" in options


class SizedBody:
    """A body of a known length.  `body` holds the bytes so far."""

    def __init__(self, length: int) -> None:
        self.body = io.BytesIO()
        self._left = length

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes.  Returns the bytes behind the body; None if more are needed."""
        taken = self.body.write(data[: self._left])
        self._left -= taken
        return None if self._left else data[taken:]


class ChunkedBody:
    """A body in the chunked coding (RFC 9112 §7.1).  `body` holds the decoded bytes so far.

    The frames around the data may take as many bytes as the data may, and there are CHUNKS_MAX of them, so that tiny
    chunks do not buy much work.
    Trailers are checked as headers are, and dropped.
    """

    def __init__(self, limits: Limits) -> None:
        self.body = io.BytesIO()
        self._limits = limits
        self._wire_bytes = 0
        self._chunks = 0
        self._trailer_bytes = 0
        self._step = self._size_line
        self._left = 0  # of the chunk, its CRLF not counted
        self._rest = b""  # what ends in the middle of a line
        self._data = b""
        self._at = 0
        self._done = False

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes.  Returns the bytes behind the body; None if more are needed.  Raises HttpError."""
        self._wire_bytes += len(data)
        self._data = self._rest + data
        self._at = 0
        while not self._done and self._step():
            pass
        rest = self._data[self._at :]
        self._data = b""
        if self._done:
            return rest
        if self._wire_bytes > 2 * self._limits.body_bytes + self._limits.head_bytes:
            raise HttpError(413, "body_too_large", "the chunk headers of the body are too large")
        self._rest = rest
        return None

    def _line(self, bytes_max: int) -> bytes | None:
        end = self._data.find(b"\r\n", self._at, self._at + bytes_max + 2)
        if end < 0:
            line = self._data[self._at :]
            if len(line) > bytes_max or b"\n" in line:
                raise _malformed("a line of the chunked body is too long or ends without CR")
            return None
        line, self._at = self._data[self._at : end], end + 2
        return line

    def _size_line(self) -> bool:
        line = self._line(_CHUNK_LINE_BYTES_MAX)
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise _malformed("a chunk's size is not a hexadecimal number")
        self._chunks += 1
        if self._chunks > CHUNKS_MAX:
            raise HttpError(413, "body_too_large", f"the body comes in more than {CHUNKS_MAX} chunks")
        self._left = int(match[1], 16)
        if self.body.tell() + self._left > self._limits.body_bytes:
            raise HttpError(413, "body_too_large", f"the body is over {self._limits.body_bytes} bytes")
        self._step = self._chunk_data if self._left else self._trailer
        return True

    def _chunk_data(self) -> bool:
        piece = self._data[self._at : self._at + self._left]
        self.body.write(piece)
        self._at += len(piece)
        self._left -= len(piece)
        if self._left:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        end = self._data[self._at : self._at + 2]
        if not b"\r\n".startswith(end):
            raise _malformed("a chunk is longer than its size says")
        if len(end) < 2:
            return False
        self._at += 2
        self._step = self._size_line
        return True

    def _trailer(self) -> bool:
        line = self._line(self._limits.line_bytes)
        if line is None:
            return False
        self._trailer_bytes += len(line) + 2
        if self._trailer_bytes > self._limits.head_bytes:
            raise HttpError(431, "trailer_too_large", f"the trailer is over {self._limits.head_bytes} bytes")
        if line and _HEADER.fullmatch(line) is None:
            raise _malformed("a trailer is not `name: value`")
        self._done = not line
        return True
