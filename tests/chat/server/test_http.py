"""What the parser takes and what it refuses; every vector of request smuggling that we know of is a row here."""

import io
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.server.http import CHUNKS_MAX, ChunkedBody, HttpError, Request, check_partial_head, parse_head
from chat.server.limits import Limits

LIMITS = Limits()
GOOD = b"GET / HTTP/1.1\r\nHost: a"


def parse(head: bytes, limits: Limits = LIMITS) -> Request:
    return parse_head(head, limits)


def refusal(head: bytes, limits: Limits = LIMITS) -> HttpError:
    with pytest.raises(HttpError) as caught:
        parse_head(head, limits)
    return caught.value


def test_a_head_becomes_what_wsgi_wants() -> None:
    request = parse(
        b"POST /rooms/a%20b?x=%C3%BC HTTP/1.1\r\nHost: h:1\r\ncontent-type:text/plain \r\n"
        b"X-Odd-Name: \tv\r\nContent-Length: 3"
    )
    assert request.method == "POST"
    assert (request.target, request.path, request.query) == ("/rooms/a%20b?x=%C3%BC", "/rooms/a b", "x=%C3%BC")
    assert request.fields == {
        "HTTP_HOST": "h:1",
        "CONTENT_TYPE": "text/plain",
        "HTTP_X_ODD_NAME": "v",
        "CONTENT_LENGTH": "3",
    }
    assert (request.length, request.chunked, request.keep_alive) == (3, False, True)


def test_a_head_that_comes_byte_by_byte_is_refused_as_a_whole_one_is() -> None:
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 40
    long, large = b"x" * (LIMITS.line_bytes + 1), b"A: bcdefgh\r\n" * (LIMITS.head_bytes // 12 + 1)
    for whole in (head, head + b"C: d\ne: f", head + b"C: \0", long, head + long, head + large):
        assert refusal_of(whole, len(whole)) == refusal_of(whole, 1) == refusal_of(whole, 7)


def refusal_of(whole: bytes, piece: int) -> str:
    """The code with which a head is refused that comes in such pieces; "" where it is not."""
    for end in range(piece, len(whole) + piece, piece):
        try:
            check_partial_head(whole[:end], LIMITS, min(end - piece, len(whole)))
        except HttpError as refusal:
            return refusal.code
    return ""


def test_a_target_that_curl_sends_undecoded_is_taken() -> None:
    assert parse("GET /rooms/größe HTTP/1.1\r\nHost: a".encode()).path.encode("latin-1").decode() == "/rooms/größe"


def test_repeated_headers_are_a_list_and_cookies_one_cookie() -> None:
    fields = parse(GOOD + b"\r\nAccept: a\r\nAccept: b\r\nCookie: c=1\r\nCookie: d=2").fields
    assert (fields["HTTP_ACCEPT"], fields["HTTP_COOKIE"]) == ("a,b", "c=1; d=2")


def test_a_header_with_an_underscore_does_not_pass_for_one_with_a_hyphen() -> None:
    assert "HTTP_X_USER" not in parse(GOOD + b"\r\nX_User: root").fields
    assert parse(GOOD + b"\r\nContent_Length: 5").length == 0


def test_the_host_of_an_absolute_target_takes_the_place_of_host() -> None:
    request = parse(b"GET http://b:2?q HTTP/1.1\r\nHost: a")
    assert (request.target, request.path, request.query, request.fields["HTTP_HOST"]) == ("/?q", "/", "q", "b:2")


def test_options_may_ask_for_the_whole_server() -> None:
    assert parse(b"OPTIONS * HTTP/1.1\r\nHost: a").path == "*"


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", True),
        (b"GET / HTTP/1.7\r\nHost: a", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_the_version_and_connection_say_whether_another_request_may_follow(head: bytes, keep_alive: bool) -> None:
    assert parse(head).keep_alive is keep_alive


SMUGGLING = {
    "two lengths that differ": GOOD + b"\r\nContent-Length: 5\r\nContent-Length: 6",
    "two lengths that agree": GOOD + b"\r\nContent-Length: 5\r\nContent-Length: 5",
    "a list of lengths": GOOD + b"\r\nContent-Length: 5, 5",
    "a length with a sign": GOOD + b"\r\nContent-Length: +5",
    "a negative length": GOOD + b"\r\nContent-Length: -5",
    "a hexadecimal length": GOOD + b"\r\nContent-Length: 0x5",
    "a length with an underscore": GOOD + b"\r\nContent-Length: 1_0",
    "a length of another alphabet": GOOD + b"\r\nContent-Length: \xb2",
    "an empty length": GOOD + b"\r\nContent-Length:",
    "a length without end": GOOD + b"\r\nContent-Length: " + b"9" * 400,
    "length and chunked": GOOD + b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
    "chunked and length": GOOD + b"\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
    "chunked twice": GOOD + b"\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "chunked twice in a list": GOOD + b"\r\nTransfer-Encoding: chunked, chunked",
    "chunked and identity": GOOD + b"\r\nTransfer-Encoding: chunked, identity",
    "gzip": GOOD + b"\r\nTransfer-Encoding: gzip, chunked",
    "nearly chunked": GOOD + b"\r\nTransfer-Encoding: xchunked",
    "quoted chunked": GOOD + b'\r\nTransfer-Encoding: "chunked"',
    "chunked with a vertical tab": GOOD + b"\r\nTransfer-Encoding: \x0bchunked",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
    "a space before the colon": GOOD + b"\r\nContent-Length : 5",
    "a tab before the colon": GOOD + b"\r\nContent-Length\t: 5",
    "a space before the name": b"GET / HTTP/1.1\r\n Host: a",
    "a folded line": GOOD + b"\r\nX: a\r\n b",
    "a folded line with a tab": GOOD + b"\r\nX: a\r\n\tContent-Length: 5",
    "a header without colon": GOOD + b"\r\nContent-Length",
    "a header without name": GOOD + b"\r\n: 5",
    "a bare LF between headers": GOOD + b"\nContent-Length: 5",
    "a bare CR between headers": GOOD + b"\rContent-Length: 5",
    "a bare LF after the request line": b"GET / HTTP/1.1\nHost: a",
    "a NUL in a value": GOOD + b"\r\nX: a\x00b",
    "a NUL in a name": GOOD + b"\r\nX\x00: a",
    "a letter beyond ASCII in a name": GOOD + b"\r\nX\xdc: a",
    "an empty line first": b"\r\n" + GOOD,
    "no host": b"GET / HTTP/1.1",
    "no host beside an absolute target": b"GET http://a/ HTTP/1.1",
    "two hosts": GOOD + b"\r\nHost: a",
    "an empty host": b"GET / HTTP/1.1\r\nHost:",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/b",
    "a host with a user": b"GET / HTTP/1.1\r\nHost: u@a",
    "a host with a space": b"GET / HTTP/1.1\r\nHost: a b",
    "two spaces in the request line": b"GET  / HTTP/1.1\r\nHost: a",
    "a tab in the request line": b"GET\t/ HTTP/1.1\r\nHost: a",
    "a space after the version": b"GET / HTTP/1.1 \r\nHost: a",
    "a space in the target": b"GET /a b HTTP/1.1\r\nHost: a",
    "no target": b"GET HTTP/1.1\r\nHost: a",
    "no version": b"GET /\r\nHost: a",
    "version 2": b"GET / HTTP/2.0\r\nHost: a",
    "version 0.9": b"GET / HTTP/0.9\r\nHost: a",
    "version 01.1": b"GET / HTTP/01.1\r\nHost: a",
    "another protocol": b"GET / ICY/1.1\r\nHost: a",
    "a fragment": b"GET /#a HTTP/1.1\r\nHost: a",
    "a half escape": b"GET /%a HTTP/1.1\r\nHost: a",
    "an escape of no digits": b"GET /%zz HTTP/1.1\r\nHost: a",
    "a relative target": b"GET a HTTP/1.1\r\nHost: a",
    "an asterisk for GET": b"GET * HTTP/1.1\r\nHost: a",
    "another scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a",
    "a tunnel": b"CONNECT a:443 HTTP/1.1\r\nHost: a",
    "a method with a bracket": b"G(T / HTTP/1.1\r\nHost: a",
    "a method without end": b"G" * 33 + b" / HTTP/1.1\r\nHost: a",
    "nothing": b"",
}


@pytest.mark.parametrize("head", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_what_two_parsers_could_read_differently_is_refused(head: bytes) -> None:
    assert refusal(head).status == 400


def test_the_refusal_says_which_header_is_at_fault_and_repeats_nothing_of_it() -> None:
    refused = refusal(GOOD + b"\r\nA: b\r\nSecret token")
    assert refused.detail == "header 3 is not `name: value`"


def test_an_expectation_other_than_continue_is_refused() -> None:
    assert parse(GOOD + b"\r\nExpect: 100-Continue").expects_continue
    assert refusal(GOOD + b"\r\nExpect: payment").status == 417


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a", 414),
        (GOOD + b"\r\nX: " + b"a" * 9000, 431),
        (GOOD + b"\r\nX: a" * 100, 431),
        (GOOD + (b"\r\nX: " + b"a" * 8000) * 5, 431),
    ],
)
def test_lines_heads_and_the_number_of_headers_have_a_limit(head: bytes, status: int) -> None:
    assert refusal(head).status == status


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\nH", b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\r", b"A\x00"])
def test_what_no_further_byte_can_mend_is_refused_before_the_head_is_whole(data: bytes) -> None:
    with pytest.raises(HttpError):
        check_partial_head(data, LIMITS)


@pytest.mark.parametrize("end", range(len(GOOD) + 3))
def test_every_beginning_of_a_good_head_may_go_on(end: int) -> None:
    check_partial_head((GOOD + b"\r\n\r")[:end], LIMITS)


def unchunk(*pieces: bytes, limits: Limits = LIMITS) -> tuple[bytes, bytes | None]:
    """The body, and what followed it; None where it is not at its end."""
    chunked = ChunkedBody(limits)
    rest = None
    for piece in pieces:
        assert rest is None
        rest = chunked.feed(piece)
    return chunked.body.getvalue(), rest


def test_chunks_are_put_together_and_what_follows_is_kept() -> None:
    assert unchunk(b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n00\r\nT: v\r\n\r\nGET") == (b"abc0123456789", b"GET")


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.integers(1, 7))
def test_chunks_may_arrive_in_any_pieces(chunks: list[bytes], step: int) -> None:
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    wire = io.BytesIO(encoded)
    assert unchunk(*iter(lambda: wire.read(step), b"")) == (b"".join(chunks), b"")


@pytest.mark.parametrize(
    "data",
    [
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"0_5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5 ;x\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5;x\ny\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b"g\r\n",
        b"\xb2\r\nhe\r\n0\r\n\r\n",
        b"5;" + b"x" * 300,
        b"0\r\nno trailer\r\n\r\n",
        b"0\r\n\nGET",
        b"f" * 16 + b"\r\n",
    ],
)
def test_a_chunk_that_two_parsers_could_read_differently_is_refused(data: bytes) -> None:
    with pytest.raises(HttpError) as caught:
        unchunk(data)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"b\r\n", 413),  # refused by its size, before it is sent
        (b"6\r\nabcdef\r\n5\r\n", 413),
        (b"1;" + b"x" * 200 + b"\r\na\r\n", 413),  # frames that are larger than the body may be
        (b"0\r\n" + b"T: v\r\n" * 20, 431),
    ],
)
def test_a_chunked_body_has_the_same_limit_and_so_have_its_frames(data: bytes, status: int) -> None:
    with pytest.raises(HttpError) as caught:
        unchunk(data, limits=Limits(body_bytes=10, head_bytes=100))
    assert caught.value.status == status


def test_a_chunked_body_has_a_bounded_number_of_chunks() -> None:
    most = b"1\r\nx\r\n" * (CHUNKS_MAX - 1)
    assert unchunk(most + b"0\r\n\r\n") == (b"x" * (CHUNKS_MAX - 1), b"")
    with pytest.raises(HttpError) as caught:
        unchunk(most + b"1\r\nx\r\n" + b"0\r\n\r\n")
    assert (caught.value.status, caught.value.code) == (413, "body_too_large")


def outcome(act: Callable[[], object]) -> int:
    try:
        act()
    except HttpError as error:
        return error.status
    return 200


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for act in (lambda: parse_head(data, LIMITS), lambda: unchunk(data), lambda: check_partial_head(data, LIMITS)):
        assert outcome(act) < 500
