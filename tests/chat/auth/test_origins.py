"""What a browser sends for somebody else's page changes nothing; what our own pages and programs send does."""

from typing import Any

import pytest

from chat.auth.origins import is_ours
from tests.chat.chat_client import GENERAL, ChatClient
from tests.chat.login_client import LoginClient, code

POST = b'{"User":"ann","Message":"hi"}'
HOST = "chat.example:12380"
MEMBER = "https://other.example"


def status_of(chat: ChatClient, method: str, target: str, **environ: Any) -> int:
    chat.replica.members = [{"Advertise": f"{MEMBER}/"}]
    return chat.open(method, target, POST, {"HTTP_HOST": HOST, **environ}).status_code


@pytest.mark.parametrize(
    "origin",
    [
        "null", "", "http://", "https://evil.example", "http://chat.example", "http://chat.example:12381",
        f"ftp://{HOST}", f"http://{HOST}.evil.example", f"http://{HOST}@evil.example", "http://[", "file://",
        "http://other.example", f"{MEMBER}:8443",
    ],
)  # fmt: skip
def test_a_foreign_page_changes_nothing(origin: str) -> None:
    chat = ChatClient()
    for method, target in [
        ("POST", GENERAL), ("PATCH", "/settings"), ("DELETE", GENERAL), ("PUT", f"{GENERAL}/messages/1/reactions/x"),
        ("POST", "/raft/2/lead"), ("DELETE", "/raft/2"), ("OPTIONS", GENERAL),
    ]:  # fmt: skip
        answer = chat.open(method, target, POST, {"HTTP_HOST": HOST, "HTTP_ORIGIN": origin})
        assert code(answer) == (403, "foreign_origin")
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert (chat.replica.proposed, chat.replica.changes, chat.replica.transfers) == ([], [], [])


@pytest.mark.parametrize("origin", [f"http://{HOST}", f"https://{HOST}", f"HTTP://{HOST.upper()}", MEMBER])
def test_our_own_pages_do(origin: str) -> None:
    assert status_of(ChatClient(), "POST", GENERAL, HTTP_ORIGIN=origin) == 201


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://chat.example", "chat.example"),
        ("https://chat.example", "chat.example:443"),
        ("https://chat.example", "chat.example:"),  # RFC 3986 §3.2.3: an empty port is the default one
        ("https://chat.example", "CHAT.example:443"),
        ("http://chat.example", "chat.example:80"),
        ("https://chat.example:444", "chat.example:444"),
        ("http://[::1]:12380", "[::1]:12380"),
        ("http://[::1]", "[::1]"),
    ],
)
def test_a_default_port_is_the_same_origin_with_and_without_it(origin: str, host: str) -> None:
    assert is_ours(origin, host, [])


@pytest.mark.parametrize("url", ["https://chat.example", "https://chat.example:443/", "https://CHAT.example/team"])
def test_an_advertised_url_is_compared_by_its_origin(url: str) -> None:
    assert is_ours("https://chat.example", "127.0.0.1:12380", [url])
    assert not is_ours("https://chat.example:444", "127.0.0.1:12380", [url])
    assert not is_ours("http://chat.example", "127.0.0.1:12380", [url])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://chat.example", "chat.example:443"),
        ("https://chat.example", "chat.example:80"),
        ("https://chat.example:444", "chat.example"),  # a proxy that drops the port: only --advertise helps
        ("https://chat.example", ""),
        ("https://chat.example:99999", "chat.example:99999"),
    ],
)
def test_another_port_is_another_origin(origin: str, host: str) -> None:
    assert not is_ours(origin, host, [])


def test_a_page_without_tls_is_another_one_where_the_request_is_known_to_have_come_over_tls() -> None:
    assert is_ours("https://chat.example", "chat.example", [], over_tls=True)
    assert not is_ours("http://chat.example", "chat.example", [], over_tls=True)
    assert is_ours("http://chat.example", "chat.example", ["http://chat.example"], over_tls=True)  # a member's
    over_tls = {"HTTP_ORIGIN": f"http://{HOST}", "wsgi.url_scheme": "https"}
    assert status_of(ChatClient(), "POST", GENERAL, **over_tls) == 403


def test_a_refused_origin_is_logged_once_with_the_flag_that_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    chat = ChatClient()
    for _ in range(3):
        assert status_of(chat, "POST", GENERAL, HTTP_ORIGIN="https://logged.example\n2026 forged") == 403
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "logged.example" in lines[0]
    assert "--advertise" in lines[0]
    assert "\n" not in lines[0]


def test_a_page_is_told_why_its_websocket_was_refused() -> None:
    answer = ChatClient().open("OPTIONS", "/ws", environ={"HTTP_HOST": HOST, "HTTP_ORIGIN": "https://evil.example"})
    assert code(answer) == (403, "foreign_origin")


def test_anybodys_page_may_have_its_reader_read_what_it_cannot_see() -> None:
    """A GET changes nothing, and no header lets the page have the answer."""
    chat = ChatClient()
    answer = chat.get(GENERAL, HTTP_ORIGIN="https://evil.example")
    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("site", "expected"), [("none", 201), ("same-origin", 201), ("same-site", 403), ("x", 403)])
def test_a_browser_that_names_no_origin_says_how_far_off_the_page_is(site: str, expected: int) -> None:
    assert status_of(ChatClient(), "POST", GENERAL, HTTP_SEC_FETCH_SITE=site) == expected


def test_a_cookie_does_not_help_a_foreign_page() -> None:
    chat = LoginClient()
    cookie = chat.cookie(chat.secret["bob"])
    sent = {"HTTP_HOST": HOST, **cookie}
    for page in ({"HTTP_ORIGIN": "https://evil.example"}, {"HTTP_SEC_FETCH_SITE": "cross-site"}):
        assert code(chat.open("POST", GENERAL, b'{"Message":"hi"}', sent | page)) == (403, "foreign_origin")
    assert chat.replica.proposed == []
    assert chat.open("POST", GENERAL, b'{"Message":"hi"}', sent | {"HTTP_ORIGIN": f"http://{HOST}"}).status_code == 201


def test_who_names_no_host_has_no_pages() -> None:
    assert not is_ours("http://", "", [])
    assert not is_ours("http://chat.example", "", ["nonsense", ""])
