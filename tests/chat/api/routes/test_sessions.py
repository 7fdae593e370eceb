"""Logging in and out, who one is, and the first user of a cluster."""

import json

import pytest
from werkzeug.test import TestResponse

from chat.auth import authenticator, secrets
from chat.auth.authenticator import CHANGES, OPEN_CHANGES
from chat.auth.rate_limits import ACCOUNT_GUESSES, ADDRESS_GUESSES, Rate
from chat.auth.secrets import AT_ONCE, Passwords
from chat.commands import OPERATOR, Actor, decode
from chat.commands.accounts import ChangeUser, CreateUser, LogIn
from chat.commands.cluster import SetAuth
from chat.state.accounts import ADMIN, SESSION
from chat.state.settings import INVITE, LOGIN
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, QUICK, SETUP_SECRET, ChatClient, refused
from tests.chat.login_client import LoginClient, bearer, code, log_in, password
from tests.support.fake_replica import FIRST_TIME

DAY = 86_400_000_000
COOKIE = "raft-chat-c0ffee"


def set_up(chat: ChatClient, secret: str = SETUP_SECRET, **more: str) -> TestResponse:
    body = {"Token": secret, "Name": "ann", "Password": "long enough", **more}
    return chat.open("POST", "/setup", json.dumps(body).encode())


def without_users() -> ChatClient:
    """A client where one has to log in, and nobody can."""
    chat = ChatClient()
    chat.replica.commit(b'{"Type":"auth","By":-1,"Auth":"login","Signup":"invite"}')
    return chat


# --- POST /login, POST /logout


def test_who_knows_a_password_gets_a_token_in_the_answer_and_as_a_cookie() -> None:
    chat = LoginClient()
    answer = log_in(chat, "bob", password("bob"), Label="laptop")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json
    assert told is not None
    assert told == {"Token": told["Token"], "User": "bob", "ExpiresAt": "2026-12-23T10:00:00.123456Z"}
    assert answer.headers["Set-Cookie"] == (
        f"{COOKIE}={told['Token']}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000"
    )
    for proof in (bearer(told["Token"]), chat.cookie(told["Token"])):
        assert chat.open("POST", GENERAL, b'{"Message":"hi"}', proof).status_code == 201
    command = decode(chat.replica.proposed[0])
    assert isinstance(command, LogIn)
    assert (command.kind, command.label, command.expires_at) == (SESSION, "laptop", FIRST_TIME + 30 * DAY)
    assert told["Token"].encode() not in b"".join(chat.replica.proposed)
    assert password("bob").encode() not in b"".join(chat.replica.proposed)


def test_over_tls_the_cookie_is_for_tls_alone() -> None:
    chat = LoginClient()
    answer = log_in(chat, "bob", password("bob"), {"wsgi.url_scheme": "https"})
    assert answer.headers["Set-Cookie"].endswith("; Max-Age=2592000; Secure")


def test_a_password_is_compared_in_the_form_that_no_keyboard_changes() -> None:
    chat = LoginClient()
    chat.do(ChangeUser(Actor(OPERATOR), "bob", password_hash=QUICK.hash("caf\u00e9 au lait")))
    assert log_in(chat, "bob", "cafe\u0301\u00a0au lait").status_code == 200


def test_nobody_learns_who_has_an_account() -> None:
    chat = LoginClient()
    chat.do(ChangeUser(Actor(OPERATOR), "eve", active=False))
    chat.do(CreateUser(Actor(OPERATOR), "nopw", "nopw", "nopw", "", ADMIN))
    answers = [
        log_in(chat, name, word)
        for name, word in [
            ("bob", "wrong password"), ("nobody", password("nobody")), ("eve", password("eve")),
            ("nopw", "some password"), ("BOB", password("bob")),
        ]
    ]  # fmt: skip
    assert {code(answer) for answer in answers} == {(401, "bad_login")}
    assert len({answer.data.replace(answer.headers["X-Request-Id"].encode(), b"id") for answer in answers}) == 1
    headers = [sorted(set(answer.headers) - {("X-Request-Id", answer.headers["X-Request-Id"])}) for answer in answers]
    assert all(found == headers[0] for found in headers)
    assert chat.replica.proposed == []


def test_a_wrong_name_is_compared_with_as_much_work_as_a_wrong_password(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def matches(self: Passwords, password_hash: str, word: str, network: str) -> bool:
        compared.append(password_hash)
        return False

    monkeypatch.setattr(Passwords, "matches", matches)
    chat = LoginClient()
    log_in(chat, "nobody", "some password")
    assert compared == [""]  # which Passwords compares with nobody's hash


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"Password": "long enough"}, "Name"), ({"Name": "bob"}, "Password"),
        ({"Name": "bob", "Password": 5}, "Password"),
        ({"Name": "bob", "Password": "short"}, "Password"), ({"Name": "bob", "Password": "x" * 257}, "Password"),
        ({"Name": "bob", "Password": "long enough", "Label": "x" * 65}, "Label"),
        ({"Name": "bob", "Password": "long enough", "Admin": True}, "body"),
    ],
)  # fmt: skip
def test_a_login_that_breaks_a_rule_is_a_400_and_no_guess(body: dict[str, object], field: str) -> None:
    chat = LoginClient()
    for _ in range(ACCOUNT_GUESSES.burst + 1):
        assert refused(chat.open("POST", "/login", json.dumps(body).encode()), 400, field)
    assert log_in(chat, "bob", password("bob")).status_code == 200


def test_a_stranger_guesses_so_often_and_does_not_lock_the_owner_out() -> None:
    chat = LoginClient()
    stranger = {"REMOTE_ADDR": "192.0.2.1"}
    for _ in range(ACCOUNT_GUESSES.burst):
        assert code(log_in(chat, "bob", "wrong password", stranger)) == (401, "bad_login")
    assert log_in(chat, "bob", password("bob")).status_code == 200
    answer = log_in(chat, "bob", password("bob"), stranger)
    assert code(answer) == (429, "too_many_attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= ACCOUNT_GUESSES.refill_s
    assert log_in(chat, "eve", password("eve")).status_code == 200
    assert chat.say("bob").status_code == 201  # who has a session is not bothered by who guesses


def test_an_address_can_guess_so_often_at_whatever_and_a_header_does_not_make_it_another() -> None:
    chat = LoginClient()
    for number in range(ADDRESS_GUESSES.burst):
        elsewhere = {"HTTP_X_FORWARDED_FOR": f"192.0.2.{number}"}
        assert code(log_in(chat, f"name{number}", "wrong password", elsewhere)) == (401, "bad_login")
    assert code(log_in(chat, "bob", password("bob"))) == (429, "too_many_attempts")
    assert code(set_up(chat)) == (409, "set_up_done")
    assert log_in(chat, "bob", password("bob"), {"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_who_logs_in_rightly_pays_nothing() -> None:
    chat = LoginClient()
    for _ in range(ADDRESS_GUESSES.burst + 1):
        assert log_in(chat, "bob", password("bob")).status_code == 200


def test_an_account_signs_in_so_often_and_then_at_a_bounded_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticator, "SIGN_INS", Rate(refill_s=2.0, burst=3))
    chat = LoginClient()
    for _ in range(3):
        assert log_in(chat, "bob", password("bob")).status_code == 200
    chat.replica.proposed.clear()
    refused = log_in(chat, "bob", password("bob"))
    assert (code(refused), refused.headers["Retry-After"]) == ((429, "too_many_attempts"), "2")
    assert not chat.replica.proposed
    assert log_in(chat, "eve", password("eve")).status_code == 200


def test_a_guess_that_nobody_had_time_for_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LoginClient()
    with monkeypatch.context() as patch:
        patch.setattr(secrets, "WAITING_MAX", -AT_ONCE)  # all places are taken
        for _ in range(ACCOUNT_GUESSES.burst + 1):
            assert code(log_in(chat, "bob", password("bob"))) == (503, "unavailable")
    assert log_in(chat, "bob", password("bob")).status_code == 200


def test_a_login_that_a_new_password_overtakes_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = LoginClient()

    def matches(self: Passwords, password_hash: str, word: str, network: str) -> bool:
        chat.do(ChangeUser(Actor(OPERATOR), "bob", password_hash="another"))
        return True

    monkeypatch.setattr(Passwords, "matches", matches)
    assert code(log_in(chat, "bob", password("bob"))) == (401, "bad_login")


def test_a_login_knows_a_password_that_was_set_elsewhere_a_moment_ago() -> None:
    chat = LoginClient()
    chat.replica.holds_reads = True

    def set_elsewhere() -> None:
        chat.do(ChangeUser(Actor(OPERATOR), "bob", password_hash=QUICK.hash("another one")))
        chat.replica.release_reads()

    chat.replica.on_read_held = set_elsewhere
    assert log_in(chat, "bob", "another one").status_code == 200


def test_a_browser_whose_session_is_over_can_log_in_again_and_see_the_page() -> None:
    chat = LoginClient()
    stale = chat.cookie(chat.secret["bob"])
    chat.revoke("bob")
    assert code(chat.get(GENERAL, **stale)) == (401, "bad_token")
    assert chat.get("/", **stale).status_code == 200
    assert chat.get("/raft", **stale).status_code == 200
    assert log_in(chat, "bob", password("bob"), stale).status_code == 200


def test_a_logout_ends_this_session_and_no_other() -> None:
    chat = LoginClient()
    other = log_in(chat, "bob", password("bob")).json
    assert other is not None
    answer = chat.ask("bob", "POST", "/logout")
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Set-Cookie"] == f"{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
    assert code(chat.ask("bob")) == (401, "bad_token")
    assert code(chat.ask("bob", "POST", "/logout")) == (401, "bad_token")
    assert chat.get(GENERAL, **bearer(other["Token"])).status_code == 200


def test_who_has_no_session_ends_none() -> None:
    chat = LoginClient()
    assert code(chat.open("POST", "/logout")) == (401, "login_needed")
    assert code(chat.open("POST", "/logout", environ=bearer(OPERATORS_SECRET))) == (403, "forbidden")
    assert chat.replica.proposed == []


def test_in_the_open_mode_there_is_nothing_to_log_in_to() -> None:
    chat = ChatClient()
    assert code(log_in(chat, "ann", "long enough")) == (409, "open_mode")
    assert code(chat.open("POST", "/logout")) == (409, "open_mode")
    assert code(set_up(chat)) == (409, "open_mode")
    assert chat.replica.proposed == []


def test_a_token_posts_so_fast_and_in_the_open_mode_anybody_faster() -> None:
    chat, open_chat = LoginClient(), ChatClient()
    assert [chat.say("bob").status_code for _ in range(CHANGES.burst)] == [201] * CHANGES.burst
    answer = chat.say("bob")
    assert code(answer) == (429, "too_many_posts")
    assert answer.headers["Retry-After"] == "1"
    assert len(chat.replica.proposed) == CHANGES.burst
    assert chat.say("eve").status_code == 201
    chat.monotonic.now += CHANGES.refill_s
    assert [chat.say("bob").status_code for _ in range(2)] == [201, 429]
    open_chat.fill(CHANGES.burst + 1)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("PUT", "/rooms/general/messages/1/reactions/x", None),
        ("PATCH", "/rooms/general", {"Topic": "t"}),
        ("PUT", "/rooms/general/messages/1/pin", None),
        ("POST", "/tokens", {"Label": "t"}),
        ("PUT", "/rooms/general/read", {"Id": 1}),
        ("PATCH", "/rooms/general/preferences", {"Notify": "none"}),
    ],
)
def test_every_change_is_counted_by_its_token(method: str, target: str, body: object) -> None:
    chat = LoginClient()
    assert chat.say("bob").status_code == 201
    answers = [chat.ask("bob", method, target, body) for _ in range(CHANGES.burst)]
    assert answers[-1].status_code == 429
    assert code(answers[-1]) == (429, "too_many_changes")
    assert answers[-1].headers["Retry-After"] == "1"
    assert code(chat.say("bob")) == (429, "too_many_posts")
    assert chat.say("eve").status_code == 201


def test_in_the_open_mode_every_change_but_a_post_is_counted_by_its_address() -> None:
    chat = ChatClient()
    chat.fill(1)
    target = "/rooms/general/messages/1/reactions/x?user=ann"
    here, there = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}
    for _ in range(OPEN_CHANGES.burst):
        assert chat.open("PUT", target, environ=here).status_code == 204
    assert code(chat.open("PUT", target, environ=here)) == (429, "too_many_changes")
    assert chat.open("PUT", target, environ=there).status_code == 204
    assert chat.open("POST", "/rooms/general", b'{"User":"ann","Message":"hi"}', here).status_code == 201


# --- GET /me


def test_me_is_who_asks() -> None:
    chat = LoginClient()
    bob = {"Auth": "login", "User": "bob", "DisplayName": "Bob", "Role": "member"}
    assert chat.ask("bob", target="/me").json == bob
    assert chat.get("/me", **chat.cookie(chat.secret["bob"])).json == bob
    assert chat.get("/me", **bearer(OPERATORS_SECRET)).json == {"Auth": "login", "Role": "admin"}
    assert ChatClient().get("/me").json == {"Auth": "open"}


def test_who_is_nobody_is_told_how_to_become_somebody() -> None:
    chat = LoginClient()
    over = chat.cookie(chat.secret["bob"])
    chat.revoke("bob")
    for answer in (chat.get("/me"), chat.get("/me", **over), chat.get("/me", **chat.cookie("x"))):
        assert code(answer) == (401, "login_needed")
        assert answer.json is not None
        assert (answer.json["Signup"], answer.json["Setup"]) == ("invite", False)
    answer = without_users().get("/me")
    assert answer.json is not None
    assert answer.json["Setup"] is True


def test_a_node_that_starts_does_not_know_whether_there_is_a_login() -> None:
    chat = ChatClient()
    chat.replica.cluster_id = ""
    assert code(chat.get("/me?consistency=stale")) == (503, "unavailable")


def test_head_is_told_what_get_is_and_no_more() -> None:
    chat = LoginClient()
    told, asked = chat.ask("bob", target="/me"), chat.ask("bob", "HEAD", "/me")
    assert (asked.status_code, asked.data) == (200, b"")
    assert asked.headers["Content-Length"] == str(len(told.data))
    assert chat.open("HEAD", "/me").status_code == 401
    assert chat.open("HEAD", "/login").status_code == 405
    assert code(chat.open("TRACE", "/tokens")) == (405, "method_not_allowed")


# --- POST /setup


def test_the_first_user_is_an_admin_and_logged_in() -> None:
    chat = without_users()
    answer = set_up(chat, DisplayName="Ann B.")
    assert answer.status_code == 201
    assert answer.json is not None
    secret = answer.json["Token"]
    assert answer.headers["Set-Cookie"].startswith(f"{COOKIE}={secret}; ")
    me = {"Auth": "login", "User": "ann", "DisplayName": "Ann B.", "Role": "admin"}
    assert chat.get("/me", **bearer(secret)).json == me
    assert log_in(chat, "ann", "long enough").status_code == 200
    assert SETUP_SECRET.encode() not in b"".join(chat.replica.proposed)


def test_a_cluster_is_set_up_once() -> None:
    chat = without_users()
    assert set_up(chat).status_code == 201
    before = len(chat.replica.proposed)
    assert code(set_up(chat, Name="bob")) == (409, "set_up_done")
    assert len(chat.replica.proposed) == before


def test_of_two_first_users_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = without_users()
    hash = Passwords.hash

    def overtaken(self: Passwords, word: str, network: str) -> str:
        chat.replica.commit(b'{"Type":"create-user","By":-2,"Name":"bob","DisplayName":"Bob","Skeleton":"bob",'
                            b'"PasswordHash":"x","Role":"admin"}')  # fmt: skip
        return hash(self, word)

    monkeypatch.setattr(Passwords, "hash", overtaken)
    assert code(set_up(chat)) == (409, "set_up_done")


def test_the_set_up_token_is_needed_and_cannot_be_guessed() -> None:
    chat = without_users()
    for _ in range(ADDRESS_GUESSES.burst):
        assert code(set_up(chat, "su_" + "t" * 43)) == (401, "bad_token")
    assert code(set_up(chat)) == (429, "too_many_attempts")
    assert chat.replica.proposed == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("Token", "x"), ("Token", 5), ("Name", "room"), ("Name", ""), ("Password", "short"), ("DisplayName", ""),
        ("Role", "x"),
    ],
)  # fmt: skip
def test_a_set_up_that_breaks_a_rule_is_a_400(member: str, value: object) -> None:
    chat = without_users()
    body = {"Token": SETUP_SECRET, "Name": "ann", "Password": "long enough", member: value}
    answer = chat.open("POST", "/setup", json.dumps(body).encode())
    assert refused(answer, 400, "body" if member == "Role" else member)
    assert chat.replica.proposed == []


def test_a_node_that_is_not_told_a_set_up_token_sets_nothing_up() -> None:
    chat = LoginClient()
    chat.do(SetAuth(Actor(OPERATOR), LOGIN, INVITE))
    assert code(set_up(chat, "su_")) == (409, "set_up_done")
