"""Heads, chunked bodies, targets, headers and bodies: what a request is before a route has it."""

import json
from collections.abc import Callable, Iterator
from functools import partial

from chat import confusable_names
from chat.api.query import Query, percent_decoded
from chat.api.request import BODY_BYTES_MAX
from chat.auth import cookies, forwarded, guest_pages, hosts, origins, proxies, proxy_users
from chat.auth.authenticator import Authenticator
from chat.realtime.handshake import check_upgrade
from chat.server import base_path
from chat.server.http import CHUNKS_MAX, ChunkedBody, SizedBody, check_partial_head, parse_head
from chat.server.limits import Limits
from chat.server.request_reader import RECV_BYTES
from chat.services import cursors, posts, users, validation
from chat.state.machine import ChatState
from tests.doubling.rows import Case, Row
from tests.doubling.texts import TEXTS, marked, serial
from tests.support.fake_replica import FakeReplica

LIMITS = Limits()
LINE = LIMITS.line_bytes - 64
SEGMENT = 48  # the least that Linux lets a peer have for the longest segment of its connection (tcp_min_snd_mss)
_HOST = b"Host: chat.example\r\n"


def of(name: str, run: Callable[[bytes], object], make: Callable[[float], bytes]) -> Row:
    """A row of a function of bytes."""

    def case(share: float) -> Case:
        data = make(share)
        return Case(len(data), lambda _: run(data))

    return Row(name, case)


def of_text(name: str, run: Callable[[str], object], make: Callable[[float], str]) -> Row:
    """A row of a function of text."""

    def case(share: float) -> Case:
        text = make(share)
        return Case(len(text), lambda _: run(text))

    return Row(name, case)


def _head(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + _HOST + b"\r\n".join(lines)


def _many(line: bytes, share: float, most: int) -> list[bytes]:
    """As many lines as a head may have: by number, and by bytes."""
    return [line] * min(int(most * share), int(share * (LIMITS.head_bytes - 200) // (len(line) + 2)))


def _heads() -> Iterator[tuple[str, Callable[[float], bytes]]]:
    line = LIMITS.line_bytes
    most = LIMITS.headers - 2
    yield "headers of one name", lambda share: _head(*_many(b"X-Y: " + b"v" * 315, share, most))
    yield "cookies", lambda share: _head(*_many(b"Cookie: " + b"a=b;" * 78, share, most))
    yield "headers of other names", lambda share: _head(*(b"X-%d: v" % n for n in range(int(most * share))))
    yield "names of dashes", lambda share: _head(*_many(b"-" * 300 + b": v", share, most))
    yield "names of underscores", lambda share: _head(*_many(b"_" * 300 + b": v", share, most))
    yield "values of blanks", lambda share: _head(*_many(b"A:" + b" \t" * 160, share, most))
    yield "long headers", lambda share: _head(*_many(b"A: " + b"\xff" * (line - 200), share, most))
    yield "a header that ends wrong", lambda share: _head(*_many(b"A: " + b"v" * 315, share, most), b"A: \x01")
    yield "connection options", lambda share: _head(b"Connection: " + b"x," * int(share * LINE / 2))
    yield "a target of escapes", lambda share: _head(target=b"/" + b"%41" * int(share * LINE / 3))
    yield "a target of bad escapes", lambda share: _head(target=b"/" + b"%41" * int(share * LINE / 3) + b"%4")
    yield "a target of slashes", lambda share: _head(target=b"/" * int(share * LINE))
    yield "an absolute target", lambda share: _head(target=b"http://" + b"h." * int(share * LINE / 2) + b"/")
    yield "a long host", lambda share: b"GET / HTTP/1.1\r\nHost: " + b"a." * int(share * LINE / 2) + b":1"


def _in_pieces(size: int, head: bytes) -> None:
    """As `RequestReader` takes a head that comes in pieces."""
    buffer, seen = bytearray(), 0
    for start in range(0, len(head), size):
        buffer += head[start : start + size]
        buffer.find(b"\r\n\r\n", max(0, seen - 3))
        check_partial_head(buffer, LIMITS, seen)
        seen = len(buffer)


def _unchunk(size: int, data: bytes) -> None:
    body = ChunkedBody(LIMITS)
    for start in range(0, len(data), size):
        body.feed(data[start : start + size])


def _collect(size: int, data: bytes) -> None:
    body = SizedBody(len(data))
    for start in range(0, len(data), size):
        body.feed(data[start : start + size])


def _chunks() -> Iterator[tuple[str, int, Callable[[float], bytes]]]:
    tiny = b"1\r\nx\r\n"
    end = b"0\r\n\r\n"
    long = b"1;" + b"x" * 250 + b"\r\nx\r\n"
    trailer = b"T: " + b"v" * (LIMITS.line_bytes - 10) + b"\r\n"
    wire = 2 * LIMITS.body_bytes
    yield "chunks of a byte", RECV_BYTES, lambda share: tiny * int(share * (CHUNKS_MAX - 1)) + end
    yield "chunks of a byte, by 48", SEGMENT, lambda share: tiny * int(share * (CHUNKS_MAX - 1)) + end
    yield "long extensions", RECV_BYTES, lambda share: long * int(share * wire / len(long)) + end
    yield "long extensions, by 48", SEGMENT, lambda share: long * int(share * wire / len(long)) + end
    yield "long trailers", RECV_BYTES, lambda share: b"0\r\n" + trailer * int(share * 4) + b"\r\n"
    yield "long trailers, by 48", SEGMENT, lambda share: b"0\r\n" + trailer * int(share * 4) + b"\r\n"
    yield "short trailers", RECV_BYTES, lambda share: b"0\r\n" + b"T:\r\n" * int(share * 8000) + b"\r\n"
    yield (
        "one chunk",
        RECV_BYTES,
        lambda share: (
            b"%x\r\n" % int(share * LIMITS.body_bytes) + b"x" * int(share * LIMITS.body_bytes) + b"\r\n" + end
        ),
    )


def _filled(opens: str, item: str, closes: str, share: float, size: int = BODY_BYTES_MAX) -> bytes:
    room = int(share * size) - len(opens.encode()) - len(closes.encode())
    return (opens + item * (room // len(item.encode())) + closes).encode()


def _bodies() -> Iterator[tuple[str, Callable[[float], bytes]]]:
    yield "lists in lists", lambda share: b'{"a":' + b"[" * int(share * 900) + b"]" * int(share * 900) + b"}"
    yield "too many lists in lists", lambda share: _filled('{"a":', "[", "", share)
    yield "empty lists", lambda share: _filled('{"a":[[]', ",[]", "]}", share)
    yield "empty objects", lambda share: _filled('{"a":[{}', ",{}", "]}", share)
    yield "objects of one member", lambda share: _filled('{"a":[{"":0}', ',{"":0}', "]}", share)
    yield "objects of 256 members", _objects
    yield "an object of too many members", lambda share: _members(share, 16_000)
    yield "a member twice at the end", lambda share: _members(share, 255)[:-1] + b',"m1":0}'
    yield "digits", lambda share: _filled('{"a":[0', "," + "9" * 4300, "]}", share)
    yield "a number that is too long", lambda share: _filled('{"a":', "9", "}", share)
    yield "a long fraction", lambda share: _filled('{"a":0.', "9", "}", share)
    yield "fractions", lambda share: _filled('{"a":[0', ",1.7976931348623157e308", "]}", share)
    yield "small numbers", lambda share: _filled('{"a":[0', ",1", "]}", share)
    yield "escapes", lambda share: _filled('{"a":"', "\\u0101", '"}', share)
    yield "pairs of surrogates", lambda share: _filled('{"a":"', "\\ud83d\\ude00", '"}', share)
    yield "backslashes", lambda share: _filled('{"a":"', "\\\\", '"}', share)
    yield "blanks", lambda share: _filled('{"a":', " ", "0}", share)
    yield "a long name", lambda share: _filled('{"', "\u0130", '":0}', share)
    yield "a text without an end", lambda share: _filled('{"a":"', "x", "", share)
    yield "no UTF-8 at the end", lambda share: _filled('{"a":"', "é", "", share) + b"\xff"
    yield "lines", lambda share: _filled('{"a":0', "\n", "x", share)


def _objects(share: float) -> bytes:
    one = json.dumps({f"m{n}": 0 for n in range(256)}, separators=(",", ":"))
    return _filled(f'{{"a":[{one}', f",{one}", "]}", share)


def _members(share: float, most: int) -> bytes:
    return json.dumps({f"m{n}": 0 for n in range(int(share * most))}, separators=(",", ":")).encode()


def _folded(body: bytes) -> object:
    return validation.members(validation.json_object(body))


def _upgrade(tokens: str) -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "HTTP_UPGRADE": tokens + "websocket",
        "HTTP_CONNECTION": tokens + "upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "A" * len(tokens) + "==",
    }
    check_upgrade(environ, list)


def _queries() -> Iterator[tuple[str, Callable[[str], object], Callable[[float], str]]]:
    yield "a query of pairs", lambda raw: Query(raw).integer("limit"), lambda share: "a=b&" * int(share * LINE / 4)
    yield (
        "a query of names",
        lambda raw: Query(raw).texts("a0"),
        lambda share: "&".join(f"a{n}=" for n in range(int(share * LINE / 7))),
    )
    yield "a parameter of commas", lambda raw: Query(raw).texts("a"), lambda share: "a=" + "," * int(share * LINE)
    yield "a parameter of escapes", lambda raw: Query(raw).text("a"), lambda share: "a=" + "%41" * int(share * LINE / 3)
    yield "a parameter of pluses", lambda raw: Query(raw).text("a"), lambda share: "a=" + "+" * int(share * LINE)
    yield "a choice", lambda raw: Query(raw).choice("a", "b"), lambda share: "a=" + "b" * int(share * LINE)


def _nowhere(environ: dict[str, object], start_response: object) -> list[bytes]:
    return []


def _headers() -> Iterator[tuple[str, Callable[[str], object], Callable[[float], str]]]:
    most = LIMITS.head_bytes - 200
    trusted = proxies.parse("10.0.0.0/8," * 63 + "10.0.0.0/8")
    yield (
        "X-Forwarded-For of trusted proxies",
        partial(trusted.client_address, "10.0.0.1"),
        lambda share: "192.0.2.1," + ",".join(["10.1.2.3"] * int(share * most / 9)),
    )
    yield (
        "X-Forwarded-For of commas",
        partial(trusted.client_address, "10.0.0.1"),
        lambda share: "," * int(share * most),
    )
    yield (
        "Forwarded of trusted proxies",
        lambda raw: trusted.told("10.0.0.1", None, None, None, raw),
        lambda share: "for=192.0.2.1," + ",".join(['for="10.1.2.3:1";proto=https'] * int(share * most / 28)),
    )
    yield "Forwarded of commas", forwarded.parse, lambda share: "," * int(share * most)
    yield "Forwarded of names", forwarded.parse, lambda share: ";".join(f"a{n}=b" for n in range(int(share * most / 8)))
    yield "Forwarded of an open quote", forwarded.parse, lambda share: 'a="' + "\\\\" * int(share * most / 2)
    yield (
        "all three X-Forwarded",
        lambda raw: trusted.told("10.0.0.1", None, raw, raw, None),
        lambda share: "https," * int(share * most / 6),
    )
    allowed = hosts.AllowedHosts(f"h{n}" for n in range(64))
    yield "a host that is not allowed", allowed.permits, lambda share: "a." * int(share * LINE / 2)
    yield "why a host is refused", allowed.refusal, lambda share: "a." * int(share * LINE / 2)
    yield (
        "a host that is refused",
        lambda raw: b"".join(
            allowed.guarding(_nowhere)({"HTTP_HOST": raw, "RAW_URI": "/"}, lambda status, headers: None)
        ),
        lambda share: "a." * int(share * LINE / 2),
    )
    yield (
        "a proxy's user",
        lambda raw: proxy_users.named({proxy_users.PROXY_USER: (raw, raw)}),
        lambda share: "a" * int(share * LINE),
    )
    yield (
        "a proxy's user and no role",
        lambda raw: proxy_users.named({proxy_users.PROXY_USER: (raw, "")}),
        lambda share: "e\u00cc\u0081" * int(share * 64),
    )
    yield "auth headers", lambda raw: proxy_users.parse(raw, ""), lambda share: "a" * int(share * LINE)
    page = origins.Origin("https", "a.example", 443)
    yield (
        "an origin of a guest's page",
        lambda raw: guest_pages.marking(frozenset({page}), list, _nowhere)({"HTTP_ORIGIN": raw}, lambda *_: None),
        lambda share: "https://" + "a." * int(share * LINE / 2),
    )
    yield "cookies of our name", lambda raw: cookies.values(raw, "a"), lambda share: "a=b;" * int(share * most / 4)
    yield "cookies of blanks", lambda raw: cookies.values(raw, "a"), lambda share: " " * int(share * most)
    yield (
        "an origin",
        lambda raw: origins.is_ours(raw, "h", ["http://h"] * 64),
        lambda share: "http://" + "a." * int(share * LINE / 2),
    )
    yield "a host", lambda raw: origins.is_ours("http://h", raw, []), lambda share: "a." * int(share * LINE / 2)
    yield "options of an upgrade", _upgrade, lambda share: "x," * int(share * LINE / 2)
    yield (
        "a target under a prefix",
        lambda raw: base_path.without("/a/b", raw),
        lambda share: "/a/b/" + "x" * int(share * LINE),
    )
    yield (
        "links under a prefix",
        lambda raw: base_path.prefixed("/a", [("Link", raw)]),
        lambda share: "</rooms>; " * int(share * LINE / 10),
    )
    yield (
        "an origin that is refused",
        lambda raw: origins.foreign(raw, raw),
        lambda share: "http://" + "a." * int(share * LINE / 2),
    )
    status: dict[str, object] = {"Members": [{"Advertise": f"http://{'a' * 200}:{n + 1}"} for n in range(64)]}
    yield (
        "an origin that is shared with",
        lambda raw: origins.sharing_headers(raw, status),
        lambda share: "http://" + "a" * int(share * LINE),
    )
    yield (
        "an origin of a change",
        lambda raw: origins.check_change({"HTTP_ORIGIN": raw, "HTTP_HOST": raw}, lambda: status),
        lambda share: "http://" + "a." * int(share * LINE / 2),
    )
    yield (
        "an origin of a read",
        lambda raw: origins.check_read({"HTTP_ORIGIN": raw, "HTTP_HOST": raw}, lambda: status),
        lambda share: "http://" + "a." * int(share * LINE / 2),
    )
    yield "an invite's secret", users.invite_secret, lambda share: "a" * int(share * BODY_BYTES_MAX)
    authenticator = Authenticator(
        FakeReplica(ChatState()), ChatState(), setup="s", monotonic=iter(range(0, 1 << 30, 999)).__next__
    )
    yield (
        "a setup's secret",
        partial(authenticator.check_setup, {"REMOTE_ADDR": "::1"}),
        lambda share: "\u20ac" * int(share * BODY_BYTES_MAX / 3),
    )
    yield "a percent-encoded name", partial(percent_decoded, "path"), lambda share: "%C3%A9" * int(share * LINE / 6)
    yield "an index", lambda raw: cursors.parse_index("min_index", raw), lambda share: "a" * int(share * LINE) + "-1"
    yield "a cursor", lambda raw: cursors.parse_cursor(raw), lambda share: "a" * int(share * LINE) + "-1"


def _checks() -> Iterator[tuple[str, Callable[[str], object], int]]:
    for kind, points in (
        ("name", validation.NAME_POINTS_MAX),
        ("user_name", validation.NAME_POINTS_MAX),
        ("label", validation.NAME_POINTS_MAX),
        ("topic", validation.TOPIC_POINTS_MAX),
        ("password", validation.PASSWORD_POINTS[-1]),
        ("message", validation.MESSAGE_POINTS_MAX),
        ("client_id", validation.CLIENT_ID_POINTS_MAX),
        ("emoji", validation.EMOJI_POINTS_MAX),
    ):
        yield kind, partial(getattr(validation, kind), "Field"), points
    yield "idempotency key", lambda text: posts.with_key({}, text), validation.CLIENT_ID_POINTS_MAX
    yield "skeleton", confusable_names.skeleton, validation.NAME_POINTS_MAX
    known = {"a"}
    yield "mentioned", lambda text: posts.mentioned(text, known.__and__), validation.MESSAGE_POINTS_MAX


def rows() -> Iterator[Row]:
    """All of them."""
    for name, make in _heads():
        yield of(f"head: {name}", lambda head: parse_head(head, LIMITS), make)
        yield of(f"head by 48: {name}", partial(_in_pieces, SEGMENT), make)
    for name, size, feed in _chunks():
        yield of(f"chunked: {name}", partial(_unchunk, size), feed)
    yield of("body by 48", partial(_collect, SEGMENT), lambda share: b"x" * int(share * LIMITS.body_bytes))
    for name, make in _bodies():
        yield of(f"body: {name}", _folded, make)
    for name, run, text in (*_queries(), *_headers()):
        yield of_text(f"request: {name}", run, text)
    for kind, check, points in _checks():
        for shape, text_of in TEXTS.items():
            yield of_text(f"{kind}: {shape}", check, lambda share, p=points, t=text_of: t(int(share * p)))  # type: ignore[misc]
        yield of_text(f"{kind}: far too long", check, lambda share: marked(int(share * BODY_BYTES_MAX / 2)) + serial())
    yield of("peer_url", partial(validation.peer_url, "body"), lambda share: b"http://" + b"a." * int(share * 60_000))
    yield of_text("guest_pages.parse", guest_pages.parse, lambda share: ",".join(["http://a.b"] * int(share * 64)))
    yield of_text("hosts.parse", hosts.parse, lambda share: ",".join(["a.b"] * int(share * 64)))
    yield of_text("proxies.parse", proxies.parse, lambda share: ",".join(["10.0.0.0/8"] * int(share * 64)))
    yield of_text("base_path.checked", base_path.checked, lambda share: "/a" * int(share * 64))
    yield of_text("validation.moment", partial(validation.moment, "at"), lambda share: "9" * int(share * LINE))
    yield of_text("validation.integer", partial(validation.integer, "Id"), lambda share: "9" * int(share * LINE))
