"""The client's own address counts behind a proxy that is trusted, and nobody is believed who is not."""

import json
from typing import Any

import pytest

from chat.auth.proxies import HEADERS, Told, TrustedProxies, behind, parse
from chat.server.http import parse_head
from chat.server.limits import Limits


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),  # the left-most one is the client's own word
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, _hidden", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.1", "6.6.6.6", "192.0.2.1"),
        ("10.0.0.1", ",".join(["6.6.6.6"] + ["10.0.0.2"] * 2000), "10.0.0.2"),
    ],
)
def test_the_right_most_address_that_is_not_trusted_is_the_clients(peer: str, forwarded_for: str, client: str) -> None:
    assert parse("10.0.0.0/8, ::1").client_address(peer, forwarded_for) == client


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert not TrustedProxies()
    assert TrustedProxies().client_address("127.0.0.1", "6.6.6.6") == "127.0.0.1"


def test_the_application_sees_the_clients_address() -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    behind(parse("127.0.0.1"), app)({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, print)
    behind(parse("127.0.0.1"), app)({"REMOTE_ADDR": "127.0.0.2", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, print)
    assert seen == ["192.0.2.7", "127.0.0.2"]


def test_a_list_of_networks_has_a_bound() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        parse(",".join(f"10.0.0.{n}" for n in range(65)))


TRUSTED = parse("10.0.0.0/8, ::1")
PEER = "10.0.0.1"


def fields(*headers: str) -> dict[str, str]:
    """What the server makes of these headers."""
    head = "\r\n".join(["GET / HTTP/1.1", "Host: node.internal", *headers])
    return parse_head(head.encode("latin-1"), Limits()).fields


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ((), Told(PEER, "", "")),
        (("X-Forwarded-Proto: https", "X-Forwarded-Host: Chat.Example:444"), Told(PEER, "https", "chat.example:444")),
        (("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: WSS"), Told("192.0.2.7", "https", "")),
        (("X-Forwarded-Proto: gopher",), Told(PEER, "", "")),
        # The client's own word comes first, in a list or in a header of its own.
        (("X-Forwarded-Proto: https, http",), Told(PEER, "http", "")),
        (("X-Forwarded-Host: evil.example", "X-Forwarded-Host: chat.example"), Told(PEER, "", "chat.example")),
        (("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 192.0.2.7"), Told("192.0.2.7", "", "")),
        # A chain: what the edge said counts, and nothing that came before it.
        (
            ("X-Forwarded-For: 6.6.6.6, 192.0.2.7, 10.0.0.2", "X-Forwarded-Proto: evil, https, http"),
            Told("192.0.2.7", "https", ""),
        ),
        (("X-Forwarded-For: 192.0.2.7, 10.0.0.2", "X-Forwarded-Proto: https"), Told("192.0.2.7", "https", "")),
        # An untrusted hop in the chain: it is the client, and what it passed on is its own word.
        (
            ("X-Forwarded-For: 192.0.2.7, 198.51.100.1", "X-Forwarded-Proto: https, http"),
            Told("198.51.100.1", "http", ""),
        ),
        # A name with an underscore is not the one with a hyphen.
        (("X_Forwarded_Proto: https", "X_Forwarded-Host: evil.example"), Told(PEER, "", "")),
        (("Forwarded: for=192.0.2.7;proto=https;host=chat.example",), Told("192.0.2.7", "https", "chat.example")),
        (('Forwarded: for="[2001:db8::7]:4711";host="chat.example:444"',), Told("2001:db8::7", "", "chat.example:444")),
        (("Forwarded: for=6.6.6.6;host=evil.example", "Forwarded: for=192.0.2.7"), Told("192.0.2.7", "", "")),
        (
            ("Forwarded: for=192.0.2.7;proto=https;host=chat.example, for=10.0.0.2;proto=http;host=node",),
            Told("192.0.2.7", "https", "chat.example"),
        ),
        (("Forwarded: for=192.0.2.7, for=10.0.0.2;proto=https",), Told("192.0.2.7", "https", "")),
        (
            ("Forwarded: for=192.0.2.7;proto=https;host=evil.example, for=198.51.100.1;proto=http",),
            Told("198.51.100.1", "http", ""),
        ),
        (("Forwarded: for=_hidden;proto=https",), Told(PEER, "https", "")),
        (("Forwarded: for=6.6.6.6, for=unknown",), Told(PEER, "", "")),
        (("Forwarded: ,",), Told(PEER, "", "")),
        # Both kinds, where both say the same.
        (
            (
                "Forwarded: for=192.0.2.7;proto=https;host=chat.example", "X-Forwarded-For: 192.0.2.7",
                "X-Forwarded-Proto: https", "X-Forwarded-Host: chat.example",
            ),
            Told("192.0.2.7", "https", "chat.example"),
        ),
    ],
)  # fmt: skip
def test_trusted_proxies_tell_address_scheme_and_host(headers: tuple[str, ...], told: Told) -> None:
    assert TRUSTED.told(PEER, *map(fields(*headers).get, HEADERS)) == told


def asked(*headers: str, peer: str = PEER) -> dict[str, Any]:
    """What the application sees of a request; or the problem, if it does not get there."""
    seen: list[dict[str, Any]] = []
    statuses: list[str] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ)
        return []

    environ = {**fields(*headers), "REMOTE_ADDR": peer, "wsgi.url_scheme": "http"}
    pieces = behind(TRUSTED, app)(environ, lambda status, headers: statuses.append(status))
    if seen:
        return seen[0]
    body: dict[str, Any] = json.loads(b"".join(pieces))
    assert statuses == ["400 Bad Request"]
    return body


@pytest.mark.parametrize(
    "headers",
    [
        ('Forwarded: for="', "X-Forwarded-For: 192.0.2.7"),
        ('Forwarded: for="evil, for=192.0.2.7',),
        ("Forwarded: for=6.6.6.6", "X-Forwarded-For: 192.0.2.7"),
        # nginx passes on what it does not know: the one kind is the proxy's word, the other the client's.
        ("Forwarded: for=192.0.2.7;host=evil.example", "X-Forwarded-For: 192.0.2.7"),
        ("Forwarded: for=192.0.2.7;proto=https", "X-Forwarded-Host: evil.example"),
        ("X-Forwarded-Host: chat example",),
        (f"X-Forwarded-Host: {'a' * 300}",),
    ],
)
def test_what_contradicts_itself_or_makes_no_sense_is_refused(headers: tuple[str, ...]) -> None:
    assert asked(*headers)["code"] == "bad_forwarded"


def test_scheme_and_host_are_what_the_client_asked_for() -> None:
    seen = asked("X-Forwarded-Proto: https", "X-Forwarded-Host: chat.example")
    assert (seen["wsgi.url_scheme"], seen["HTTP_HOST"], seen["REMOTE_ADDR"]) == ("https", "chat.example", PEER)


@pytest.mark.parametrize("headers", [("X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"),
                                     ("Forwarded: for=6.6.6.6;proto=https;host=evil.example",),
                                     ('Forwarded: for="',)])  # fmt: skip
def test_nobody_else_is_believed(headers: tuple[str, ...]) -> None:
    seen = asked(*headers, peer="192.0.2.1")
    assert (seen["wsgi.url_scheme"], seen["HTTP_HOST"], seen["REMOTE_ADDR"]) == ("http", "node.internal", "192.0.2.1")
