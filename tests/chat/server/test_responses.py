"""Answers as bytes: framing, what has no body, and an application that breaks its own word.  No sockets."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from chat.server.http import parse_head
from chat.server.limits import Limits
from chat.server.responses import BrokenApplication, Headers, ResponseHead, WsgiResponse


def reply_to(
    pieces: Iterable[bytes],
    status: str = "200 OK",
    headers: Headers | None = None,
    method: str = "GET",
    protocol: str = "HTTP/1.1",
    keep_alive: bool = True,
) -> tuple[list[bytes], WsgiResponse]:
    """The writes of one answer, Date taken out, and the Reply that made them."""
    writes: list[bytes] = []
    request = parse_head(f"{method} / {protocol}\r\nHost: a".encode(), Limits())
    reply = WsgiResponse(writes.append, request, keep_alive)
    reply.start_response(status, headers or [])
    reply.run(pieces)
    return [b"\r\n".join(line for line in data.split(b"\r\n") if line[:5] != b"Date:") for data in writes], reply


def test_a_known_body_is_one_write_with_its_head() -> None:
    writes, reply = reply_to([b"ab", b"c"], headers=[("X-Y", "z")])
    assert writes == [b"HTTP/1.1 200 OK\r\nX-Y: z\r\nContent-Length: 3\r\n\r\nabc"]
    assert reply.keep_alive


def test_a_body_that_fills_its_declared_length_is_one_write_with_its_head() -> None:
    writes, _ = reply_to(iter([b"abc"]), headers=[("content-length", "3")])
    assert writes == [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"]


def test_a_body_of_unknown_length_is_chunked_piece_by_piece() -> None:
    writes, reply = reply_to(iter([b"a" * 17, b"", b"b"]))
    assert writes == [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11\r\n" + b"a" * 17 + b"\r\n",
        b"1\r\nb\r\n",
        b"0\r\n\r\n",
    ]
    assert reply.keep_alive


def test_a_body_of_unknown_length_ends_with_the_connection_for_http_1_0() -> None:
    writes, reply = reply_to(iter([b"a", b"b"]), protocol="HTTP/1.0")
    assert writes == [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na", b"b"]
    assert not reply.keep_alive


def test_http_1_0_is_told_that_the_connection_stays() -> None:
    writes, _ = reply_to([b"a"], protocol="HTTP/1.0")
    assert writes == [b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\na"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("pieces", [[b"abc"], [], iter([b"abc"]), iter([])])
def test_no_content_and_not_modified_have_neither_body_nor_length(status: str, pieces: Iterable[bytes]) -> None:
    writes, reply = reply_to(pieces, status=status, headers=[("Content-Length", "3")])
    assert writes == [f"HTTP/1.1 {status}\r\n\r\n".encode()]
    assert reply.keep_alive


@pytest.mark.parametrize(
    ("pieces", "headers", "length"),
    [
        ([b"abc"], [], b"Content-Length: 3\r\n"),
        ([], [("Content-Length", "7")], b"Content-Length: 7\r\n"),
        (iter([b"abc"]), [("Content-Length", "3")], b"Content-Length: 3\r\n"),
        ([], [], b""),
    ],
)
def test_head_is_answered_as_get_is_but_without_the_body(
    pieces: Iterable[bytes], headers: Headers, length: bytes
) -> None:
    writes, _ = reply_to(pieces, headers=headers, method="HEAD")
    assert writes == [b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"]


@pytest.mark.parametrize(
    ("headers", "keep_alive"), [([], False), ([("Connection", "close")], True), ([("connection", "Close")], True)]
)
def test_a_last_answer_says_so_once(headers: Headers, keep_alive: bool) -> None:
    writes, reply = reply_to([b""], headers=headers, keep_alive=keep_alive)
    assert writes == [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
    assert not reply.keep_alive


def test_every_answer_has_one_date() -> None:
    request = parse_head(b"GET / HTTP/1.1\r\nHost: a", Limits())
    head = ResponseHead("200 OK", [], request, keep_alive=True).render("")
    assert b"\r\nDate: " in head and head.rstrip().endswith(b" GMT")
    own = ResponseHead("200 OK", [("Date", "then")], request, keep_alive=True).render("")
    assert own == b"HTTP/1.1 200 OK\r\nDate: then\r\n\r\n"


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("200 OK\r\nX: y", []),
        ("200 OK", [("X", "y\r\nSet-Cookie: z")]),
        ("200 OK", [("X", "y\nz")]),
        ("200 OK", [("X", "y\r")]),
        ("200 OK", [("X\r\nY", "z")]),
        ("200 OK", [("Transfer-Encoding", "chunked")]),
        ("200 OK", [("Content-Length", "4")]),
    ],
)
def test_a_broken_head_is_not_sent(status: str, headers: Headers) -> None:
    with pytest.raises(BrokenApplication):
        reply_to([b"abc"], status=status, headers=headers)


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
def test_a_streamed_body_must_have_its_declared_length(body: bytes) -> None:
    with pytest.raises(BrokenApplication):
        reply_to(iter([body]), headers=[("Content-Length", "3")])


class Pieces:
    def __init__(self) -> None:
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        yield b"a"
        raise LookupError

    def close(self) -> None:
        self.closed = True


def test_what_the_application_returned_is_closed_even_if_it_fails() -> None:
    pieces = Pieces()
    with pytest.raises(LookupError):
        reply_to(pieces)
    assert pieces.closed


def started(write: Callable[[bytes], None]) -> WsgiResponse:
    request = parse_head(b"GET / HTTP/1.1\r\nHost: a", Limits())
    reply = WsgiResponse(write, request, keep_alive=True)
    reply.start_response("200 OK", [])
    return reply


def test_start_response_is_called_again_only_with_an_error_and_before_anything_is_sent() -> None:
    writes: list[bytes] = []
    reply = started(writes.append)
    with pytest.raises(BrokenApplication):
        reply.start_response("200 OK", [])
    error: Any = (KeyError, KeyError(), None)
    reply.start_response("500 Oops", [], error)(b"piece")
    assert writes[0].startswith(b"HTTP/1.1 500 Oops\r\n")
    with pytest.raises(KeyError):
        reply.start_response("500 Oops", [], error)


def test_an_application_that_never_calls_start_response_is_broken() -> None:
    reply = WsgiResponse(lambda data: None, parse_head(b"GET / HTTP/1.0", Limits()), keep_alive=True)
    for pieces in ([b"a"], iter([b"a"]), iter([])):
        with pytest.raises(BrokenApplication):
            reply.run(pieces)
