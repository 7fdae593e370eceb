"""The page and its files."""

import gzip
import re
from importlib.resources import files

import pytest

from chat.api.page_files import page
from chat.api.routes.static_files import FETCHED_AHEAD
from tests.chat.chat_client import ChatClient

BLOCKING = ("js/main.js", "css/page.css", "ahead.js")


def test_the_page_is_served_under_a_strict_policy() -> None:
    answer = ChatClient().get("/")
    assert answer.status_code == 200
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
    assert answer.data == files("static").joinpath("index.html").read_bytes()
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


def test_the_page_waits_for_one_script_and_one_style_sheet_that_may_be_kept_for_ever() -> None:
    chat = ChatClient()
    text = chat.get("/").get_data(as_text=True)
    named = re.findall(r'(?:href|src)="(static/[^"]+)"', text)
    assert {path.partition(page().version)[2] for path in named} >= {"/js/main.js", "/css/page.css", "/icon.svg"}
    assert re.findall(r'<script async src="static/\w+/(.+?)"', text) == ["ahead.js"]
    assert len([path for path in named if path.endswith((".js", ".css"))]) == 3
    for path in named:
        answer = chat.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert (
        chat.get("/").headers["Cache-Control"] == chat.get("/static/js/main.js").headers["Cache-Control"] == "no-cache"
    )


def test_the_style_sheets_are_joined_in_the_order_of_the_document() -> None:
    source = files("static").joinpath("index.html").read_text()
    paths = re.findall(r'<link rel="stylesheet" href="static/([^"]+)">', source)
    joined = "\n".join(files("static").joinpath(path).read_text() for path in paths)
    served = ChatClient().get(f"/static/{page().version}/css/page.css").get_data(as_text=True)
    without_comments = re.sub(r"/\*[^*]*\*/", "", joined)
    assert served.split() == without_comments.split()


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True), ("gzip, deflate, br", True), ("br;q=1, GZIP;q=0.5", True), ("*", True), ("gzip;q=1.0", True),
        ("", False), ("identity", False), ("gzip;q=0", False), ("gzip;q=0.000, br", False), ("x-gzip-not", False),
    ],
)  # fmt: skip
def test_a_file_is_compressed_for_who_takes_that(accepted: str, is_packed: bool) -> None:
    chat = ChatClient()
    path = f"/static/{page().version}/js/main.js"
    plain, answer = chat.get(path), chat.get(path, HTTP_ACCEPT_ENCODING=accepted)
    assert answer.headers.get("Content-Encoding") == ("gzip" if is_packed else None)
    assert (gzip.decompress(answer.data) if is_packed else answer.data) == plain.data
    assert answer.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert (answer.headers["ETag"] == plain.headers["ETag"]) is not is_packed
    again = chat.get(path, HTTP_ACCEPT_ENCODING=accepted, HTTP_IF_NONE_MATCH=answer.headers["ETag"])
    assert again.status_code == 304


def test_a_page_of_another_version_gets_this_script_under_its_own_address_and_keeps_nothing() -> None:
    """Else the script would run twice: once under the address of the other version, once under its own."""
    chat = ChatClient()
    script = chat.get("/static/0123456789abcdef/js/main.js")
    assert script.get_data(as_text=True) == f'import "../../{page().version}/js/main.js";\n'
    style = chat.get("/static/0123456789abcdef/css/page.css")
    assert (style.status_code, style.headers["Location"]) == (302, f"/static/{page().version}/css/page.css")
    assert script.headers["Cache-Control"] == style.headers["Cache-Control"] == "no-store"
    assert chat.get("/static/0123456789abcdef/icon.svg").status_code == 404


def test_the_first_requests_of_the_page_are_fetched_beside_its_script() -> None:
    ahead = ChatClient().get("/").headers["Link"]
    scripts = ChatClient().get(f"/static/{page().version}/js/main.js").get_data(as_text=True)
    for address in FETCHED_AHEAD:
        assert f"<{address}>; rel=preload; as=fetch; crossorigin=anonymous" in ahead
        path, query = address.split("?")
        assert f'"{address}"' in scripts or f'("{path}", "{query}")' in scripts


def test_the_first_messages_are_asked_for_at_the_address_that_the_script_takes_them_from() -> None:
    ahead = ChatClient().get(f"/static/{page().version}/ahead.js").get_data(as_text=True)
    script = ChatClient().get(f"/static/{page().version}/js/main.js").get_data(as_text=True)
    size = re.search(r"const PAGE_SIZE = (\d+);", script)
    assert size is not None
    assert f"?limit={size[1]}`" in ahead


def test_the_first_visit_needs_60_kib_at_most() -> None:
    ours = page()
    sizes = [len(file.packed) for file in (ours.index, *(ours.files[path] for path in BLOCKING))]
    assert all(sizes)
    assert sum(sizes) <= 60 * 1024


def test_the_page_can_be_installed() -> None:
    chat = ChatClient()
    base = f"/static/{page().version}"
    manifest = chat.get(f"{base}/manifest.webmanifest").get_json(force=True)
    assert f'rel="manifest" href="{base[1:]}/manifest.webmanifest"' in chat.get("/").get_data(as_text=True)
    assert manifest["start_url"] == manifest["scope"] == "../../"
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
    for icon in manifest["icons"]:
        assert chat.get(f"{base}/{icon['src']}").content_type == icon["type"]
