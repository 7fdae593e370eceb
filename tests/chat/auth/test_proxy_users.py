"""Users whom a trusted proxy names by --auth-header: made at first sight, and nobody but the proxy can name one."""

import json
import threading
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from chat.auth.cookies import values
from chat.auth.guest_pages import marking
from chat.auth.guest_pages import parse as parse_origins
from chat.auth.proxies import behind, parse
from chat.auth.proxy_users import PROXY_USER, AuthHeaders
from chat.auth.rate_limits import Rate, TokenBuckets
from chat.commands import OPERATOR, Actor, decode
from chat.commands.accounts import ChangeUser, CreateUser, LogIn, RevokeTokens
from chat.commands.cluster import SetAuth
from chat.server.http import parse_head
from chat.server.limits import Limits
from chat.services import proxy_sign_in
from chat.state.accounts import ADMIN, MEMBER, PROXY, TOKENS_MAX
from chat.state.settings import INVITE, OPEN
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET
from tests.chat.login_client import LoginClient, bearer, code
from tests.support.waiting import wait_until
from tests.support.wsgi import deferring

HEADERS = AuthHeaders("HTTP_X_REMOTE_USER", "HTTP_X_REMOTE_ROLE")
PEER = "10.0.0.1"
PAGE = "https://intranet.example"
BROWSER = {"HTTP_ACCEPT_LANGUAGE": "en"}
LINK = {"HTTP_SEC_FETCH_MODE": "navigate", "HTTP_SEC_FETCH_DEST": "document"}


class ProxyClient(LoginClient):
    """Requests through a trusted proxy, or past it."""

    def __init__(self) -> None:
        super().__init__()
        app = behind(parse(PEER), marking(parse_origins(PAGE), list, self.app), HEADERS)
        self._client = Client(deferring(app), use_cookies=False)

    def via(
        self, name: str, method: str = "GET", target: str = "/rooms", body: object = None, **environ: Any
    ) -> TestResponse:
        data = b"" if body is None else json.dumps(body).encode()
        sent = {"REMOTE_ADDR": PEER, "HTTP_X_REMOTE_USER": name.encode().decode("latin-1"), **environ}
        return self.open(method, target, data, sent)

    def say(self, name: str, **environ: Any) -> TestResponse:  # type: ignore[override]
        return self.via(name, "POST", GENERAL, {"Message": "hi"}, **environ)

    def kinds(self) -> list[type]:
        """What was proposed."""
        return [type(decode(body)) for body in self.replica.proposed]

    def role(self, name: str) -> str:
        return self.state.ask(lambda tables: tables.users[name].role)

    def tokens(self, name: str) -> list[int]:
        return self.state.ask(lambda tables: [*tables.tokens_of.get(name, ())])

    def deactivate(self, name: str) -> None:
        self.do(ChangeUser(Actor(OPERATOR), name, active=False))

    def session(self, name: str, **environ: Any) -> dict[str, str]:
        """The cookie that a browser gets, as it sends it."""
        answer = self.via(name, target="/me", **BROWSER, **environ)
        assert answer.status_code == 200
        set_cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in set_cookie
        return {"HTTP_COOKIE": set_cookie.partition(";")[0]}


def test_a_user_is_made_at_first_sight_and_only_then() -> None:
    chat = ProxyClient()
    answer = chat.say("zoe")
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["User"] == "zoe"
    assert chat.kinds()[:2] == [CreateUser, LogIn]
    assert chat.role("zoe") == MEMBER
    chat.replica.proposed.clear()
    assert chat.via("zoe").status_code == 200
    assert chat.say("zoe").status_code == 201
    assert len(chat.kinds()) == 1  # the post
    assert len(chat.tokens("zoe")) == 1


@pytest.mark.parametrize("target", ["/rooms", "/me", "/tokens", "/users/zoe", GENERAL, "/search-for-nothing"])
def test_any_first_request_makes_the_user(target: str) -> None:
    chat = ProxyClient()
    first = chat.via("zoe", target=target).status_code
    assert first == ProxyClient().via("bob", target=target.replace("zoe", "bob")).status_code
    if target != "/search-for-nothing":
        assert first == 200
        assert chat.role("zoe") == MEMBER


def test_me_tells_that_the_proxy_signed_the_user_in() -> None:
    told = ProxyClient().via("bob", target="/me").json
    assert told == {"Auth": "login", "User": "bob", "DisplayName": "Bob", "Role": "member", "Proxy": True}


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "10.0.0.2", "::1", ""])
def test_nobody_else_can_name_a_user(peer: str) -> None:
    chat = ProxyClient()
    for name in ("ann", "zoe"):
        assert code(chat.via(name, REMOTE_ADDR=peer, HTTP_X_REMOTE_ROLE="admin")) == (401, "login_needed")
        assert code(chat.say(name, REMOTE_ADDR=peer)) == (401, "login_needed")
    assert chat.replica.proposed == []


def test_who_is_not_trusted_has_the_headers_taken_away() -> None:
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ)
        return []

    guarded = behind(parse(PEER), app, HEADERS)
    for peer in ("192.0.2.1", PEER):
        guarded({"REMOTE_ADDR": peer, "HTTP_X_REMOTE_USER": "ann", "HTTP_X_REMOTE_ROLE": "admin"}, print)
    assert [environ.get(PROXY_USER) for environ in seen] == [None, ("ann", "admin")]
    assert all("HTTP_X_REMOTE_USER" not in environ and "HTTP_X_REMOTE_ROLE" not in environ for environ in seen)


def test_a_peer_that_is_trusted_only_as_a_hop_names_nobody() -> None:
    """Its own address counts, not the one that it forwards."""
    chat = ProxyClient()
    assert code(chat.via("ann", REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=PEER)) == (401, "login_needed")


@pytest.mark.parametrize(
    "headers",
    [
        ("X-Remote-User: ann", "X-Remote-User: zoe"),  # the client's, and that of a proxy that adds one
        ("X-Remote-User: ann,zoe",),
        ("X-Remote-User: zoe,",),
    ],
)
def test_a_list_of_users_names_none(headers: tuple[str, ...]) -> None:
    chat = ProxyClient()
    head = "\r\n".join(["GET / HTTP/1.1", "Host: node", *headers])
    name = parse_head(head.encode(), Limits()).fields["HTTP_X_REMOTE_USER"]
    assert code(chat.via(name)) == (403, "bad_proxy_user")
    assert chat.replica.proposed == []


def test_a_header_with_an_underscore_is_none() -> None:
    fields = parse_head(b"GET / HTTP/1.1\r\nHost: node\r\nX_Remote_User: ann\r\nX-Remote_User: ann", Limits()).fields
    assert not any("REMOTE" in key for key in fields)


@pytest.mark.parametrize("name", ["", None])
def test_a_proxy_that_names_nobody_leaves_it_to_the_client(name: str | None) -> None:
    chat = ProxyClient()
    sent = {} if name is None else {"HTTP_X_REMOTE_USER": name}
    assert code(chat.open("GET", "/rooms", environ={"REMOTE_ADDR": PEER, **sent})) == (401, "login_needed")
    environ = {"REMOTE_ADDR": PEER, **sent, **bearer(chat.secret["bob"])}
    assert chat.open("GET", "/rooms", environ=environ).status_code == 200


@pytest.mark.parametrize(
    "name", ["@zoe", "room", ".", "..", "a" * 65, "a\u202eb", " zoe", "zoe\u200b", "\u2800", "a" * 300, "\u0301"]
)
def test_a_name_that_no_user_can_have_is_refused_in_words(name: str) -> None:
    chat = ProxyClient()
    answer = chat.via(name)
    assert code(answer) == (403, "bad_proxy_user")
    assert answer.json is not None
    assert answer.json["detail"].startswith("User: the user name that the proxy in front of this node gives ")
    assert code(chat.via(name, target="/me")) == (403, "bad_proxy_user")
    assert chat.replica.proposed == []


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    assert code(ProxyClient().via("x", HTTP_X_REMOTE_USER="\xff")) == (403, "bad_proxy_user")


def test_a_name_is_the_same_in_every_normal_form() -> None:
    chat = ProxyClient()
    for name in ("zo\u0065\u0301", "zo\u00e9"):
        answer = chat.say(name)
        assert answer.json is not None
        assert (answer.status_code, answer.json["User"]) == (201, "zo\u00e9")
    assert len(chat.tokens("zo\u00e9")) == 1


def test_a_name_that_looks_like_another_ones_is_refused() -> None:
    chat = ProxyClient()
    assert code(chat.via("b\u043eb")) == (409, "looks_like")
    assert code(chat.via("BOB")) == (409, "looks_like")
    assert chat.replica.proposed == []


def test_the_role_is_the_proxys_and_is_followed_when_it_changes() -> None:
    chat = ProxyClient()
    assert chat.via("zoe", HTTP_X_REMOTE_ROLE="admin").status_code == 200
    assert chat.role("zoe") == ADMIN
    assert chat.via("zoe", HTTP_X_REMOTE_ROLE="admin").status_code == 200
    assert chat.kinds() == [CreateUser, LogIn]
    assert chat.via("zoe", target="/invites", HTTP_X_REMOTE_ROLE="member").status_code == 200
    assert chat.role("zoe") == MEMBER
    assert chat.kinds()[2:] == [ChangeUser]
    assert code(chat.via("zoe", "DELETE", GENERAL, HTTP_X_REMOTE_ROLE="member"))[0] in (403, 404)
    assert chat.via("zoe").status_code == 200  # where the proxy says none, it stays
    assert chat.role("zoe") == MEMBER


def test_the_role_of_a_user_of_the_chats_own_is_followed_too() -> None:
    chat = ProxyClient()
    assert chat.via("bob", HTTP_X_REMOTE_ROLE="admin").status_code == 200
    assert chat.role("bob") == ADMIN


@pytest.mark.parametrize("role", ["owner", "Admin", "admin,member", "admin, admin", "members"])
def test_a_role_that_is_none_is_refused(role: str) -> None:
    chat = ProxyClient()
    assert code(chat.via("zoe", HTTP_X_REMOTE_ROLE=role)) == (403, "bad_proxy_user")
    assert chat.replica.proposed == []


def test_the_last_admin_is_not_demoted() -> None:
    chat = ProxyClient()
    admins = [name for name in chat.secret if chat.role(name) == ADMIN]
    for name in admins[1:]:
        assert chat.via(name, HTTP_X_REMOTE_ROLE="member").status_code == 200
    chat.replica.proposed.clear()
    assert code(chat.via(admins[0], HTTP_X_REMOTE_ROLE="member")) == (409, "last_admin")
    assert chat.replica.proposed == []
    assert chat.role(admins[0]) == ADMIN


def test_a_deactivated_user_stays_out() -> None:
    chat = ProxyClient()
    cookie = chat.session("zoe")
    chat.deactivate("zoe")
    chat.replica.proposed.clear()
    for more in ({}, cookie, {"HTTP_X_REMOTE_ROLE": "admin"}):
        assert code(chat.via("zoe", **more)) == (403, "forbidden")
        assert code(chat.via("zoe", target="/me", **more)) == (403, "forbidden")
        assert code(chat.say("zoe", **more)) == (403, "forbidden")
    assert chat.replica.proposed == []
    chat.do(ChangeUser(Actor(OPERATOR), "zoe", active=True))
    assert chat.via("zoe").status_code == 200


def test_a_browser_gets_a_session_of_its_own_once() -> None:
    chat = ProxyClient()
    cookie = chat.session("zoe")
    assert len(chat.tokens("zoe")) == 2
    again = chat.via("zoe", target="/me", **BROWSER, **cookie)
    assert again.status_code == 200
    assert "Set-Cookie" not in again.headers
    assert len(chat.tokens("zoe")) == 2
    assert "Set-Cookie" not in chat.via("zoe", target="/me").headers  # a program's


def test_a_page_of_another_site_does_not_use_up_the_sessions_of_a_browser() -> None:
    chat = ProxyClient()
    for site in ("cross-site", "same-site"):
        sent = {"HTTP_SEC_FETCH_SITE": site, **LINK}
        answer = chat.via("zoe", target="/me", **sent)
        assert answer.status_code == 200
        assert "Set-Cookie" not in answer.headers
    assert "Set-Cookie" in chat.via("zoe", target="/me", HTTP_SEC_FETCH_MODE="cors").headers


def test_who_makes_too_many_sessions_goes_on_without() -> None:
    chat = ProxyClient()
    for _ in range(210):
        assert chat.via("zoe", target="/me", **BROWSER).status_code == 200
    assert len(chat.tokens("zoe")) <= TOKENS_MAX
    assert "Set-Cookie" not in chat.via("zoe", target="/me", **BROWSER).headers


def test_the_cookie_of_such_a_session_is_secure_where_the_proxy_says_tls() -> None:
    answer = ProxyClient().via("zoe", target="/me", HTTP_X_FORWARDED_PROTO="https", **BROWSER)
    assert answer.headers["Set-Cookie"].endswith("; Secure")
    assert "Secure" not in ProxyClient().via("zoe", target="/me", **BROWSER).headers["Set-Cookie"]


def test_a_session_of_the_proxy_is_nothing_without_the_proxy() -> None:
    chat = ProxyClient()
    cookie = chat.session("zoe")
    secret = cookie["HTTP_COOKIE"].partition("=")[2]
    for sent in (cookie, bearer(secret)):
        for peer in (PEER, "192.0.2.1"):
            environ = {"REMOTE_ADDR": peer, **sent}
            assert code(chat.open("GET", "/rooms", environ=environ)) == (401, "bad_token")


def test_a_session_ends_when_the_header_names_another_user() -> None:
    chat = ProxyClient()
    cookie = chat.session("zoe")
    (_, own) = chat.tokens("zoe")
    shared = chat.tokens("zoe")[0]
    chat.replica.proposed.clear()
    answer = chat.say("bob", **cookie)
    assert answer.json is not None
    assert (answer.status_code, answer.json["User"]) == (201, "bob")
    assert chat.kinds()[0] is RevokeTokens
    assert chat.tokens("zoe") == [shared]
    assert own not in chat.tokens("bob")
    cookie = chat.session("bob", **cookie)  # a new one in its place
    assert chat.via("bob", **cookie).status_code == 200


def test_a_cookie_of_a_password_does_not_count_beside_the_header() -> None:
    chat = ProxyClient()
    answer = chat.say("zoe", **chat.cookie(chat.secret["ann"]))
    assert answer.json is not None
    assert (answer.status_code, answer.json["User"]) == (201, "zoe")
    assert len(chat.tokens("ann")) == 1  # and it goes on without the proxy
    planted = chat.cookie("rc_" + "x" * 43, "rc_" + "y" * 43)
    assert chat.via("zoe", **planted).status_code == 200


def test_a_token_of_this_chat_counts_and_any_other_is_the_proxys_business() -> None:
    chat = ProxyClient()
    answer = chat.say("zoe", **bearer(chat.secret["bob"]))
    assert answer.json is not None
    assert answer.json["User"] == "bob"
    answer = chat.say("zoe", **bearer("eyJhbGciOi.JSON.web-token"))
    assert answer.json is not None
    assert answer.json["User"] == "zoe"
    assert chat.via("zoe", "GET", "/users", **bearer(OPERATORS_SECRET)).status_code == 200


def test_a_page_of_another_site_gets_no_user_of_the_proxys() -> None:
    chat = ProxyClient()
    assert code(chat.via("zoe", HTTP_ORIGIN=PAGE)) == (401, "login_needed")
    assert code(chat.say("zoe", HTTP_ORIGIN=PAGE)) == (401, "login_needed")
    assert code(chat.say("zoe", HTTP_ORIGIN="https://evil.example")) == (403, "foreign_origin")
    assert chat.replica.proposed == []


def test_without_sign_in_the_header_means_nothing() -> None:
    chat = ProxyClient()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert chat.via("zoe").status_code == 200
    assert chat.via("zoe", target="/me").json == {"Auth": "open"}
    assert chat.replica.proposed == []


FOREIGN = [
    {"HTTP_SEC_FETCH_SITE": "cross-site", "HTTP_SEC_FETCH_MODE": "no-cors"},
    {"HTTP_SEC_FETCH_SITE": "same-site", "HTTP_SEC_FETCH_DEST": "iframe"},
    {"HTTP_ORIGIN": "https://evil.example"},
]


@pytest.mark.parametrize("sent", FOREIGN)
def test_a_page_of_another_site_makes_no_sessions_that_end_those_of_the_users_browsers(sent: dict[str, str]) -> None:
    chat = ProxyClient()
    chat.session("zoe")
    tokens = chat.tokens("zoe")
    answer = chat.via("zoe", target="/me", **BROWSER, **sent)
    assert code(answer) == (403, "foreign_origin")
    assert "Set-Cookie" not in answer.headers
    assert chat.tokens("zoe") == tokens


@pytest.mark.parametrize("sent", FOREIGN)
@pytest.mark.parametrize("target", ["/events", "/rooms", GENERAL, f"{GENERAL}/export"])
def test_a_page_of_another_site_reads_nothing_and_opens_no_stream_as_the_user_of_the_proxy(
    target: str, sent: dict[str, str]
) -> None:
    chat = ProxyClient()
    assert code(chat.via("zoe", target=target, **sent)) == (403, "foreign_origin")
    assert chat.via("zoe", "HEAD", target, **sent).status_code == 403
    assert chat.replica.proposed == []
    cookie = chat.cookie(chat.secret["bob"])
    past_the_proxy = {"REMOTE_ADDR": "10.0.0.9", **cookie}
    assert code(chat.get(target, **past_the_proxy, **sent)) == (403, "foreign_origin")
    # What proves the user is no header that a browser adds by itself.
    if target != "/events":
        assert chat.via("bob", target=target, **bearer(chat.secret["bob"]), **sent).status_code == 200


def test_what_the_user_opens_by_a_link_of_another_site_is_shown_to_them() -> None:
    chat = ProxyClient()
    assert chat.via("zoe", target="/rooms", HTTP_SEC_FETCH_SITE="cross-site", **LINK).status_code == 200
    assert chat.via("zoe", target="/rooms", HTTP_SEC_FETCH_SITE="same-origin").status_code == 200


class Time:
    """The clock of the buckets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    few = Rate(refill_s=10.0, burst=3)
    monkeypatch.setattr(proxy_sign_in, "NEW_USERS", few)
    monkeypatch.setattr(proxy_sign_in, "STEPS", few)
    monkeypatch.setattr(proxy_sign_in, "TokenBuckets", lambda rate: TokenBuckets(rate, clock))
    return clock


def test_a_proxy_that_invents_users_makes_a_set_number_of_them(clock: Time) -> None:
    chat = ProxyClient()
    for name in ("amber", "birch", "cedar"):
        assert chat.via(name).status_code == 200
    proposed = len(chat.replica.proposed)
    answer = chat.via("daisy")
    assert code(answer) == (429, "too_many_attempts")
    assert answer.headers["Retry-After"] == "10"
    assert len(chat.replica.proposed) == proposed
    assert chat.via("amber").status_code == 200  # who is known is not concerned
    assert chat.say("bob", **bearer(chat.secret["bob"])).status_code == 201
    clock.now += 10.0
    assert chat.via("daisy").status_code == 200
    assert code(chat.via("ember")) == (429, "too_many_attempts")


def test_a_proxy_whose_roles_go_to_and_fro_changes_a_user_so_many_times_only(clock: Time) -> None:
    chat = ProxyClient()
    roles = ("member", "guest", "member", "guest")
    statuses = [chat.via("zoe", HTTP_X_REMOTE_ROLE=role).status_code for role in roles]
    assert statuses == [200, 200, 200, 429]
    assert chat.kinds() == [CreateUser, LogIn, ChangeUser, ChangeUser]
    assert chat.via("amber").status_code == 200


def test_a_ticket_opens_a_websocket_as_usual() -> None:
    chat = ProxyClient()
    assert chat.via("zoe", "POST", "/ws-ticket").status_code == 201


def test_signing_out_ends_the_browsers_session_and_the_next_request_signs_in_again() -> None:
    chat = ProxyClient()
    cookie = chat.session("zoe")
    assert chat.via("zoe", "POST", "/logout", **cookie).status_code == 204
    assert len(chat.tokens("zoe")) == 1
    assert chat.via("zoe", **cookie).status_code == 200


def test_without_a_majority_who_is_known_still_reads_what_is_here() -> None:
    chat = ProxyClient()
    assert chat.say("zoe").status_code == 201
    chat.replica.unavailable = True
    assert code(chat.via("new")) == (503, "unavailable")
    assert code(chat.via("zoe", HTTP_X_REMOTE_ROLE="admin")) == (503, "unavailable")
    assert chat.via("zoe", target=f"{GENERAL}?consistency=stale").status_code == 200
    assert chat.via("zoe", target="/me?consistency=stale", **BROWSER).status_code == 200
    chat.replica.unavailable = False
    assert chat.via("new").status_code == 200


def test_a_user_whom_another_node_has_just_made_is_not_made_again() -> None:
    chat = ProxyClient()
    chat.do(CreateUser(Actor(OPERATOR), "zoe", "zoe", "zoe", "", MEMBER))
    chat.do(LogIn(Actor(OPERATOR, "zoe"), 0, b"d" * 32, PROXY, "proxy", 0))
    assert chat.via("zoe").status_code == 200
    assert chat.replica.proposed == []


def test_a_user_whom_another_node_makes_meanwhile_is_signed_in() -> None:
    chat = ProxyClient()
    chat.replica.delayed = True
    statuses: list[int] = []
    asking = threading.Thread(target=lambda: statuses.append(chat.via("zoe").status_code))
    asking.start()
    wait_until(lambda: chat.kinds() == [CreateUser], 10, "the user is proposed here")
    chat.do(CreateUser(Actor(OPERATOR), "zoe", "zoe", "zoe", "", MEMBER))
    chat.replica.delayed = False
    chat.replica.release()
    asking.join()
    assert statuses == [200]
    assert chat.kinds() == [CreateUser, LogIn]


def test_many_who_come_at_once_are_all_signed_in() -> None:
    chat = ProxyClient()
    statuses: list[int] = []
    names = ["amber", "birch", "cedar", "daisy", "ember", "flora", "grove", "hazel"] * 3
    threads = [threading.Thread(target=lambda name=name: statuses.append(chat.via(name).status_code)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(names)
    assert all(len(chat.tokens(name)) == 1 for name in names)


def test_the_cookie_is_that_of_this_cluster() -> None:
    cookie = ProxyClient().session("zoe")["HTTP_COOKIE"]
    (secret,) = values(cookie, "raft-chat-c0ffee")
    assert secret.startswith("rc_")
