"""The page and its files."""

from importlib.resources import files

import pytest

from tests.chat.chat_client import ChatClient


def test_the_page_is_served_under_a_strict_policy() -> None:
    answer = ChatClient().get("/")
    assert answer.status_code == 200
    assert answer.data == files("static").joinpath("index.html").read_bytes()
    assert answer.content_type == "text/html; charset=utf-8"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["connect-src"] == "'self' ws://localhost"


def connect(chat: ChatClient, **environ: str) -> list[str]:
    """Where the page may connect to."""
    policy = chat.get("/", **environ).headers["Content-Security-Policy"]
    return policy.partition("connect-src ")[2].partition(";")[0].split(" ")


def test_the_page_may_connect_to_every_members_advertised_origin_and_nothing_else() -> None:
    chat = ChatClient()
    chat.replica.members = [
        {"Id": 1, "Advertise": "http://10.0.0.1:12380"},
        {"Id": 2, "Advertise": "https://chat.example/"},
        {"Id": 3, "Advertise": "http://[::1]:80"},
        {"Id": 4, "Advertise": ""},
        {"Id": 5, "Advertise": "http://x; script-src *"},
        {"Id": 6},
    ]
    assert connect(chat) == [
        "'self'",
        "http://10.0.0.1:12380",
        "http://[::1]",
        "https://chat.example",
        "ws://10.0.0.1:12380",
        "ws://[::1]",
        "ws://localhost",
        "wss://chat.example",
    ]


@pytest.mark.parametrize(
    ("host", "own"),
    [("chat.example:444", ["wss://chat.example:444"]), ("CHAT.example:443", ["wss://chat.example"]), ("x;*", [])],
)
def test_the_pages_own_websocket_is_where_the_client_asked(host: str, own: list[str]) -> None:
    environ = {"HTTP_HOST": host, "wsgi.url_scheme": "https"}
    assert connect(ChatClient(), **environ) == ["'self'", *own]


def test_files_are_served_with_their_types() -> None:
    chat = ChatClient()
    answer = chat.get("/static/index.html")
    assert answer.data == chat.get("/").data
    script = chat.get("/static/js/main.js")
    assert script.content_type == "text/javascript; charset=utf-8"
    assert script.data == files("static").joinpath("js", "main.js").read_bytes()


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/none.js", "/__init__.py", "/js", "/../setup.cfg", "/%2e%2e/setup.cfg", "/..%2fsetup.cfg",
        "//index.html", "/js%2fmain.js%00",
    ],
)  # fmt: skip
def test_there_is_nothing_else_to_be_had(path: str) -> None:
    assert ChatClient().get(f"/static{path}").status_code == 404


def test_a_file_that_the_browser_has_is_not_sent_again() -> None:
    chat = ChatClient()
    etag = chat.get("/").headers["ETag"]
    for tags in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        answer = chat.get("/", HTTP_IF_NONE_MATCH=tags)
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == etag
        assert "Content-Security-Policy" in answer.headers
    assert chat.get("/", HTTP_IF_NONE_MATCH='"other"').status_code == 200
