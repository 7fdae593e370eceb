"""Encode HTTP/1.1 responses, and run a WSGI application's response (PEP 3333).  No socket, only a function that writes.

- A response whose body is known is one write, head and body together: two would wait for each other (Nagle).
- A body of unknown length is chunked for HTTP/1.1 and ends with the connection for HTTP/1.0 (RFC 9112 §6.3).
- HEAD, 1xx, 204 and 304 have no body (RFC 9110 §6.4.1), whatever the application returns.
- A header with CR or LF in its value is a bug of the application, and nothing of the response is sent.
"""

import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from http import HTTPStatus
from time import monotonic
from types import TracebackType
from typing import Final

from chat.logs import request_log
from chat.server import failure_log
from chat.server.http import HttpError, Request
from chat.server.problem_json import PROBLEM_JSON, problem_json

Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_STATUS: Final = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_OURS: Final = frozenset(("content-length", "connection", "transfer-encoding", "date"))  # headers
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class BrokenApplication(Exception):
    """The application broke PEP 3333, or its own Content-Length."""


def status_line(status: int) -> str:
    """The status as start_response wants it: `404 Not Found`."""
    return _STATUS.get(status) or f"{status} "


def _never_has_a_body(status: str) -> bool:
    return status[:1] == "1" or status[:3] in ("204", "304")


class _Clock:
    """The Date header, formatted once a second."""

    until_s = 0.0
    header = ""

    def date(self, now_s: float) -> str:
        """The header.  `now_s`: of the monotonic clock, which the caller has looked at anyway."""
        if now_s >= self.until_s:
            seconds = time.time()
            self.header = f"Date: {formatdate(int(seconds), usegmt=True)}\r\n"
            self.until_s = now_s + 1 - seconds % 1  # last: other threads read the header once it is
        return self.header


_date = _Clock().date


def error_response(refused: HttpError, network: str = "") -> bytes:
    """The whole response to a refused request of this network; it is logged.  The connection closes after it."""
    failure_log.answered(refused.status, refused.code, refused.detail)
    request_id = request_log.refused_early(refused.status, refused.code, network)
    body = problem_json(refused.status, refused.code, refused.detail, request_id=request_id)
    headers = (("Content-Type", PROBLEM_JSON), (request_log.HEADER, request_id), *refused.headers)
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    return (
        f"HTTP/1.1 {status_line(refused.status)}\r\n{lines}Content-Length: {len(body)}\r\n"
        f"{_date(monotonic())}Connection: close\r\n\r\n"
    ).encode("latin-1") + body


def head_of_stream(headers: Iterable[tuple[str, str]], *, chunked: bool) -> bytes:
    """The head of a 200 whose body the application sends on the detached socket; the connection ends with it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers])
    coding = "Transfer-Encoding: chunked\r\n" if chunked else ""
    return f"HTTP/1.1 200 OK\r\n{lines}{coding}{_date(monotonic())}Connection: close\r\n\r\n".encode("latin-1")


class ResponseHead:
    """The head of one response: the application's headers and those that the server adds."""

    __slots__ = ("_date", "_keep", "_lines", "_status", "bodiless", "close", "length", "made_s")

    def __init__(self, status: str, headers: Headers, request: Request, keep_alive: bool) -> None:
        """Raises BrokenApplication, and ValueError for a Content-Length that is no number."""
        self.length: int | None = None  # as the application declared it
        self.close = not keep_alive
        self.bodiless = request.method == "HEAD" or _never_has_a_body(status)
        self._status = status
        self.made_s = monotonic()
        self._date = _date(self.made_s)
        self._keep = "" if request.protocol == "HTTP/1.1" else "Connection: keep-alive\r\n"
        self._lines = [
            f"{name}: {value}\r\n"
            for name, value in headers
            if name.lower() not in _OURS or not self._is_ours(name.lower(), value)
        ]

    @property
    def status_class(self) -> int:
        """The first digit of the status."""
        return int(self._status[0])

    def _is_ours(self, name: str, value: str) -> bool:
        """Note a header that the server writes itself, and return whether it is one."""
        if name == "content-length":
            self.length = int(value)
        elif name == "connection":
            self.close = self.close or "close" in value.lower()
        elif name == "transfer-encoding":
            raise BrokenApplication("the transfer coding is the server's (PEP 3333)")
        else:
            if name == "date":
                self._date = ""
            return False
        return True

    def render(self, framing: str) -> bytes:
        """The head, with `framing` (a Content-Length or Transfer-Encoding line, or "") put in."""
        connection = "Connection: close\r\n" if self.close else self._keep
        text = f"HTTP/1.1 {self._status}\r\n{''.join(self._lines)}{framing}{self._date}{connection}\r\n"
        lines = 2 + len(self._lines) + bool(framing) + bool(self._date) + bool(connection)
        if text.count("\n") != lines or text.count("\r") != lines:
            raise BrokenApplication("CR or LF in a header")
        return text.encode("latin-1")

    def with_length(self, length: int | None) -> bytes:
        """The head of a response of `length` bytes; None: unknown."""
        if length is None or _never_has_a_body(self._status):
            return self.render("")
        return self.render(f"Content-Length: {length}\r\n")

    def with_body(self, body: bytes) -> bytes:
        """The whole response; `body` is all of it."""
        if self.bodiless:  # to HEAD, the length that GET would have had
            return self.with_length(self.length if self.length is not None else len(body) or None)
        if self.length is not None and self.length != len(body):
            raise BrokenApplication(f"Content-Length says {self.length}, the body has {len(body)} bytes")
        return self.render(f"Content-Length: {len(body)}\r\n") + body


class WsgiResponse:
    """A WSGI response, from start_response to the last piece.  `write` takes bytes and blocks until they are sent."""

    __slots__ = ("_chunked", "_head", "_left", "_request", "_write", "head_sent", "keep_alive")

    def __init__(self, write: Callable[[bytes], None], request: Request, keep_alive: bool) -> None:
        self.keep_alive = keep_alive  # at the end: whether the connection can go on
        self.head_sent = False
        self._write = write
        self._request = request
        self._head: ResponseHead | None = None
        self._chunked = False
        self._left: int | None = None  # of the declared Content-Length

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """Take status and headers (PEP 3333).  Raises the application's own error if it failed while it streams."""
        if exc_info is not None and exc_info[1] is not None and self.head_sent:
            raise exc_info[1]
        if self._head is not None and exc_info is None:
            raise BrokenApplication("start_response is called twice")
        self._head = ResponseHead(status, headers, self._request, self.keep_alive)
        return self.write

    def run(self, pieces: Iterable[bytes]) -> None:
        """Send the pieces that the application returned.  Raises its errors, and BrokenApplication."""
        try:
            if isinstance(pieces, list | tuple) and not self.head_sent:
                self._send_whole(b"".join(pieces))
            else:
                for piece in pieces:
                    self.write(piece)
                self._end()
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    @property
    def head(self) -> ResponseHead | None:
        """The head, once the application has called start_response."""
        return self._head

    def _started(self) -> ResponseHead:
        if self._head is None:
            raise BrokenApplication("start_response was not called")
        return self._head

    def _send_whole(self, body: bytes) -> None:
        head = self._started()
        answer = head.with_body(body)
        self.keep_alive = not head.close
        self.head_sent = True
        self._write(answer)

    def write(self, piece: bytes) -> None:
        """Send one piece at once: somebody may wait for it."""
        if not piece:
            return
        opening = b"" if self.head_sent else self._open()
        if self._started().bodiless:
            piece = b""
        elif self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise BrokenApplication("the body is longer than its Content-Length")
        elif self._chunked:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        if opening or piece:
            self.head_sent = True
            self._write(opening + piece)

    def _open(self) -> bytes:
        head = self._started()
        self._left = head.length
        self._chunked = head.length is None and not head.bodiless and self._request.protocol == "HTTP/1.1"
        if head.length is None and not head.bodiless and not self._chunked:
            head.close = True
        self.keep_alive = not head.close
        return head.render("Transfer-Encoding: chunked\r\n") if self._chunked else head.with_length(head.length)

    def _end(self) -> None:
        if not self.head_sent:
            self._send_whole(b"")
        elif self._chunked:
            self._write(b"0\r\n\r\n")
        elif self._left and not self._started().bodiless:
            raise BrokenApplication(f"the body is {self._left} bytes short of its Content-Length")
