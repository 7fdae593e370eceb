"""Pages of --allow-origin use the chat with Bearer tokens, and with nothing that a browser adds by itself."""

from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from chat.auth.guest_pages import marking, parse
from chat.errors import Problem
from chat.realtime.handshake import check_upgrade
from tests.chat.chat_client import GENERAL, ChatClient
from tests.chat.login_client import LoginClient, bearer, code
from tests.support.wsgi import deferring

PAGE = "https://intranet.example"
POST = b'{"User":"ann","Message":"hi"}'
MEMBER = "https://other.example"


def guests(chat: ChatClient) -> ChatClient:
    """The client's application, with PAGE allowed."""
    app = marking(parse(PAGE), lambda: [f"{MEMBER}/"], chat.app)
    chat._client = Client(deferring(app), use_cookies=False)
    chat.replica.members = [{"Advertise": f"{MEMBER}/"}]
    return chat


def ask(chat: ChatClient, method: str, target: str = GENERAL, origin: str = PAGE, **environ: Any) -> TestResponse:
    return chat.open(method, target, POST if method == "POST" else b"", {"HTTP_ORIGIN": origin, **environ})


def shown(answer: TestResponse) -> tuple[str | None, str | None]:
    """Whose page may read the answer, and by which header it varies."""
    return answer.headers.get("Access-Control-Allow-Origin"), answer.headers.get("Vary")


def test_such_a_page_posts_and_reads_and_sees_where_things_are() -> None:
    chat = guests(ChatClient())
    posted = ask(chat, "POST")
    assert posted.status_code == 201
    page = ask(chat, "GET", f"{GENERAL}?limit=1")
    assert page.status_code == 200
    for answer in (posted, page, ask(chat, "GET", "/nothing/here"), ask(chat, "DELETE", GENERAL)):
        assert shown(answer) == (PAGE, "Origin")
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"X-Raft-Index", "Link", "Location", "Retry-After"} <= set(exposed)
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://intranet.example", f"{PAGE}:444", f"{PAGE}.evil.example", f"{PAGE}/", "null",
     "https://x.intranet.example", f"{PAGE},https://evil.example", ""],
)  # fmt: skip
def test_any_other_page_is_as_foreign_as_before(origin: str) -> None:
    chat = guests(ChatClient())
    assert code(ask(chat, "POST", origin=origin)) == (403, "foreign_origin")
    assert code(ask(chat, "OPTIONS", origin=origin)) == (403, "foreign_origin")
    assert shown(ask(chat, "GET", origin=origin)) == (None, "Origin")
    assert chat.replica.proposed == []


def test_an_answer_to_who_names_no_origin_varies_too() -> None:
    assert shown(guests(ChatClient()).get(GENERAL)) == (None, "Origin")
    assert shown(ChatClient().get(GENERAL)) == (None, None)


def test_a_preflight_is_told_the_methods_of_the_path_and_the_headers_that_the_api_reads() -> None:
    asked = {"HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST", "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": "authorization"}
    answer = ask(guests(ChatClient()), "OPTIONS", **asked)
    assert answer.status_code == 204
    assert shown(answer) == (PAGE, "Origin")
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Access-Control-Allow-Methods" not in ask(guests(ChatClient()), "OPTIONS").headers


def test_a_bearer_token_counts_and_a_cookie_does_not() -> None:
    chat = guests(LoginClient())
    assert isinstance(chat, LoginClient)
    secret = chat.secret["bob"]
    assert ask(chat, "GET", "/rooms", **bearer(secret)).status_code == 200
    assert code(ask(chat, "GET", "/rooms", **chat.cookie(secret))) == (401, "login_needed")
    assert code(ask(chat, "POST", **chat.cookie(secret))) == (401, "login_needed")
    assert ask(chat, "GET", "/rooms", origin=MEMBER, **chat.cookie(secret)).status_code == 200
    me = ask(chat, "GET", "/me", **chat.cookie(secret))
    assert code(me) == (401, "login_needed")
    assert shown(me) == (PAGE, "Origin")


def test_the_chats_own_pages_stay_its_own_where_they_are_named_too() -> None:
    chat = LoginClient()
    chat.replica.members = [{"Id": 1, "Advertise": MEMBER}]
    origins = parse(f"{MEMBER},http://chat.lan")
    chat._client = Client(deferring(marking(origins, lambda: [MEMBER], chat.app)), use_cookies=False)
    for origin in (MEMBER, "http://chat.lan"):
        cookie = chat.cookie(chat.secret["bob"])
        answer = ask(chat, "GET", "/rooms", origin, HTTP_HOST="chat.lan", **cookie)
        assert answer.status_code == 200


def test_such_a_page_opens_a_websocket() -> None:
    def upgrade(origin: str) -> None:
        environ = {
            "REQUEST_METHOD": "GET", "HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade",
            "HTTP_SEC_WEBSOCKET_VERSION": "13", "HTTP_SEC_WEBSOCKET_KEY": "A" * 22 + "==", "HTTP_HOST": "chat.lan",
            "HTTP_ORIGIN": origin,
        }  # fmt: skip

        def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
            check_upgrade(environ, list)
            return []

        marking(parse(PAGE), list, app)(environ, print)

    upgrade(PAGE)
    for origin in ("https://evil.example", f"{PAGE}:444", "null"):
        with pytest.raises(Problem, match="Origin"):
            upgrade(origin)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" https://a.example , http://B:8080/,", ["http://b:8080", "https://a.example"]),
        ("https://a.example:443", ["https://a.example"]),
    ],
)
def test_origins_of_the_option(text: str, found: list[str]) -> None:
    assert sorted(map(str, parse(text))) == found


@pytest.mark.parametrize(
    "text", ["*", "null", "a.example", "https://*.a.example", "https://a.example/b", "ftp://a", "/"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        parse(text)


def test_there_is_a_bound_on_origins() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        parse(",".join(f"http://h{n}" for n in range(65)))
