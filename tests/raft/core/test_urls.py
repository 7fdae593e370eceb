"""A URL that another node names stays within a line of the log and a directive of a header."""

import pytest

from raft.core.configuration import decode_configuration
from raft.core.urls import is_client_url, is_peer_url
from raft.errors import InvalidMessage
from raft.rpc.calls import Hello, Sender
from raft.rpc.codec import decode_call, encode
from raft.rpc.peer_client import parse_peer_url

FORGED = "http://a:1\n2026-11-30 06:00:00,000 INFO member 1 leads"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://node-1.example.org:65535/", "http://[::1]:7"])
def test_a_peer_url_is_a_host_and_a_port(url: str) -> None:
    assert is_peer_url(url)
    parse_peer_url(url)


@pytest.mark.parametrize(
    "url",
    [FORGED, "http://a\t:1", "http://a:1 ", "http://a b:1", "http://a:1;b", "http://ü:1", "http://a\x1b[2J:1", ""],
)
def test_what_would_not_stay_in_its_line_is_no_peer_url(url: str) -> None:
    assert not is_peer_url(url)
    with pytest.raises(ValueError, match=r"."):
        parse_peer_url(url)


@pytest.mark.parametrize(
    "url", ["http://chat-1", "https://chat.example:443", "https://chat.example/chat/", "http://[::1]:1"]
)
def test_a_client_url_may_have_a_path_and_no_port(url: str) -> None:
    assert is_client_url(url)


@pytest.mark.parametrize("url", [FORGED, "ftp://a", "http://a; script-src *", "http://a,http://b", "http://a/?q", "a"])
def test_what_would_not_stay_in_its_header_is_no_client_url(url: str) -> None:
    assert not is_client_url(url)


@pytest.mark.parametrize("said", [Sender(2, "aa", "c1", FORGED), Sender(2, "aa\n", "", ""), Sender(2, "aa", "c\n", "")])
def test_a_sender_that_would_forge_lines_of_the_log_is_refused(said: Sender) -> None:
    with pytest.raises(InvalidMessage):
        decode_call(encode(said, Hello(2, 1)), 0)


@pytest.mark.parametrize("name", ["url", "incarnation", "advertise"])
def test_a_configuration_that_would_forge_lines_of_the_log_is_refused(name: str) -> None:
    sound = (
        b'{"cluster_id":"","level":1,"removed":[],"members":[{"id":1,"url":"http://a:1","voting":true,'
        b'"promote":false,"incarnation":"aa","advertise":"http://a","level":1}]}'
    )
    decode_configuration(sound)
    for value in (b'"http://a:1"', b'"aa"', b'"http://a"'):
        forged = sound.replace(b'"%b":%b' % (name.encode(), value), b'"%b":"http://a:1\\nb"' % name.encode())
        if forged != sound:
            with pytest.raises(InvalidMessage):
                decode_configuration(forged)
            return
    raise AssertionError(name)
