"""Who a request is from, where there is a login: by a token or a cookie, as long as these are good."""

import io
import json
from typing import Any

import pytest
from werkzeug.test import Client

from chat.app import create_app
from chat.auth import secrets
from chat.auth.authenticator import UNKNOWN_TOKENS, Authenticator, is_operators
from chat.auth.token_activity import TokenActivity
from chat.commands import OPERATOR, Actor, decode
from chat.commands.cluster import SetAuth
from chat.commands.posts import Post
from chat.errors import Problem
from chat.replica import STALE_S_MAX
from chat.state.accounts import HOUR
from chat.state.settings import INVITE, OPEN
from raft.errors import Unavailable
from tests.chat.api.test_reads import DeferredResponse
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, ChatClient, Clock
from tests.chat.login_client import LoginClient, bearer, code, log_in, password
from tests.support.fake_replica import FakeReplica
from tests.support.wsgi import deferring


def proposed(chat: ChatClient) -> list[Post]:
    posts = [decode(command) for command in chat.replica.proposed]
    assert all(isinstance(post, Post) for post in posts)
    return [post for post in posts if isinstance(post, Post)]


def test_a_token_says_who_posts_and_reads() -> None:
    chat = LoginClient()
    answer = chat.say("bob")
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["User"] == "bob"
    assert proposed(chat)[0].by == chat.number["bob"]
    read = chat.ask("eve").json
    assert read is not None
    assert [post["User"] for post in read] == ["bob"]
    assert code(chat.ask("gus", target=f"{GENERAL}/messages/1")) == (404, "not_found")


def test_a_name_is_ones_own() -> None:
    chat = LoginClient()
    assert chat.say("bob", User="bob").status_code == 201
    assert code(chat.say("bob", User="eve")) == (403, "not_your_name")
    assert code(chat.say("bob", User="")) == (400, "invalid_field")
    assert len(proposed(chat)) == 1
    assert code(chat.ask("eve", "PATCH", f"{GENERAL}/messages/1", {"Message": "ho"})) == (403, "not_the_author")
    assert code(chat.ask("eve", "DELETE", f"{GENERAL}/messages/1?user=bob")) == (403, "not_your_name")
    assert chat.ask("eve", "PUT", f"{GENERAL}/messages/1/reactions/%E2%9C%93").status_code == 204
    assert chat.ask("bob", "PATCH", f"{GENERAL}/messages/1", {"Message": "ho"}).status_code == 200
    assert chat.ask("bob", "DELETE", f"{GENERAL}/messages/1").status_code == 204


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", GENERAL, {"User": "bob", "Message": "hi"}),
        ("PATCH", GENERAL, {"Retention": None}),
        ("DELETE", GENERAL, None),
        ("PATCH", "/settings", {"MaxRooms": 1}),
        ("PATCH", f"{GENERAL}/messages/1", {"User": "bob", "Message": "ho"}),
        ("DELETE", f"{GENERAL}/messages/1?user=bob", None),
        ("PUT", f"{GENERAL}/messages/1/reactions/x?user=bob", None),
        ("GET", GENERAL, None),
        ("HEAD", GENERAL, None),
        ("GET", "/rooms?consistency=stale", None),
        ("GET", f"{GENERAL}/messages/1/history", None),
    ],
)
def test_nothing_is_told_to_nobody_nor_proposed_for_him(method: str, target: str, body: object) -> None:
    chat = LoginClient()
    assert chat.say("bob").status_code == 201
    before = len(chat.replica.proposed)
    answer = chat.open(method, target, b"" if body is None else json.dumps(body).encode())
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert len(chat.replica.proposed) == before


def test_a_cookie_of_this_cluster_is_as_good_as_a_token() -> None:
    chat = LoginClient()
    other = {"HTTP_COOKIE": f"theme=dark; raft-chat-{'0' * 8}={chat.secret['eve']}; x"}
    assert code(chat.get(GENERAL, **other)) == (401, "login_needed")
    mine = chat.cookie(chat.secret["bob"])["HTTP_COOKIE"]
    answer = chat.open("POST", GENERAL, b'{"Message":"hi"}', {"HTTP_COOKIE": f"{other['HTTP_COOKIE']};{mine}"})
    assert answer.status_code == 201
    assert proposed(chat)[0].user == "bob"


def test_a_token_counts_beside_a_cookie_and_two_cookies_count_for_nothing() -> None:
    chat = LoginClient()
    bob, eve = chat.secret["bob"], chat.secret["eve"]
    answer = chat.say("bob")
    assert answer.json is not None and answer.json["User"] == "bob"
    both = chat.open("POST", GENERAL, b'{"Message":"hi"}', {**bearer(bob), **chat.cookie(eve)})
    assert both.json is not None and both.json["User"] == "bob"
    assert chat.get(GENERAL, **chat.cookie(bob, bob)).status_code == 200
    assert code(chat.get(GENERAL, **chat.cookie(bob, eve))) == (401, "bad_token")
    assert code(chat.get(GENERAL, **{**chat.cookie(eve), **bearer("")})) == (401, "bad_token")


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer rc_short", "Bearer {},{}", "Bearer {} {}", "Bearer {}=", "bearer\t{}", "Bearer é{}"],
)
def test_what_only_looks_like_a_token_is_refused_without_asking_anybody(header: str) -> None:
    chat = LoginClient()
    secret = chat.secret["bob"]
    answer = chat.get(GENERAL, HTTP_AUTHORIZATION=header.format(secret, secret), REMOTE_ADDR="192.0.2.1")
    assert answer.status_code == 401
    assert secret not in answer.get_data(as_text=True)
    assert chat.replica.reads == (1 if "\t" in header else 0)  # another scheme, so nobody: who reads is asked at last


def test_the_schemes_case_does_not_matter_and_others_are_not_ours() -> None:
    chat = LoginClient()
    secret = chat.secret["bob"]
    assert chat.get(GENERAL, HTTP_AUTHORIZATION=f"bEARER  {secret}").status_code == 200
    basic = {"HTTP_AUTHORIZATION": "Basic Ym9iOmJvYg==", **chat.cookie(secret)}
    assert chat.get(GENERAL, **basic).status_code == 200


def test_a_token_is_good_until_it_is_too_old_or_revoked() -> None:
    chat = LoginClient()
    chat.secret["bob"] = secrets.new_secret(secrets.TOKEN)
    chat.log_in("bob", chat.secret["bob"], expires_at=chat.clock.now + 1)
    assert chat.ask("bob").status_code == 200
    chat.clock.now += 1
    assert code(chat.ask("bob")) == (401, "bad_token")
    assert chat.ask("eve").status_code == 200
    chat.revoke("eve")
    assert code(chat.ask("eve")) == (401, "bad_token")
    assert code(chat.say("eve")) == (401, "bad_token")
    assert proposed(chat) == []


def test_a_read_is_refused_whose_token_is_revoked_while_it_waits() -> None:
    chat = LoginClient()
    assert chat.say("bob").status_code == 201
    chat.replica.holds_reads = True

    def revoked_elsewhere() -> None:
        chat.revoke("bob")
        chat.replica.release_reads()

    chat.replica.on_read_held = revoked_elsewhere
    assert code(chat.ask("bob")) == (401, "bad_token")


def test_a_token_made_elsewhere_a_moment_ago_is_good_here() -> None:
    chat = LoginClient()
    chat.secret["bob"] = secrets.new_secret(secrets.TOKEN)
    chat.replica.holds_reads = True

    def made_elsewhere() -> None:
        if chat.secret["bob"] not in made:
            made.append(chat.secret["bob"])
            chat.log_in("bob", chat.secret["bob"])
        chat.replica.release_reads()

    made: list[str] = []
    chat.replica.on_read_held = made_elsewhere
    assert chat.say("bob").status_code == 201
    assert proposed(chat)[0].user == "bob"
    assert chat.ask("bob").status_code == 200


def test_a_member_out_of_touch_tells_nothing_where_there_is_a_login() -> None:
    chat = LoginClient()
    stale = f"{GENERAL}?consistency=stale"
    chat.replica.contact_s = STALE_S_MAX
    assert chat.ask("bob", target=stale).status_code == 200
    chat.replica.contact_s = STALE_S_MAX + 0.1
    for target in (stale, f"{stale}&min_index=99", "/rooms?consistency=stale", f"{GENERAL}/export?consistency=stale"):
        answer = chat.ask("bob", target=target)
        assert code(answer) == (503, "no_recent_leader")
        assert answer.headers["Retry-After"] == "1"
    assert chat.ask("bob").status_code == 200
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert chat.get(stale).status_code == 200


def test_looking_for_unknown_tokens_is_paid_for_by_the_address_and_given_back_where_one_is_good() -> None:
    chat = LoginClient()
    for _ in range(UNKNOWN_TOKENS.burst):
        assert code(chat.get(GENERAL, **bearer(secrets.new_secret(secrets.TOKEN)))) == (401, "bad_token")
    reads = chat.replica.reads
    answer = chat.get(GENERAL, **bearer(secrets.new_secret(secrets.TOKEN)))
    assert code(answer) == (429, "too_many_attempts")
    assert int(answer.headers["Retry-After"]) >= 1
    assert chat.replica.reads == reads
    assert chat.ask("bob").status_code == 200
    assert log_in(chat, "bob", password("bob")).status_code == 200  # an office is not locked out by one of its programs
    elsewhere = bearer(secrets.new_secret(secrets.TOKEN)) | {"REMOTE_ADDR": "192.0.2.1"}
    assert code(chat.get(GENERAL, **elsewhere)) == (401, "bad_token")


def test_a_good_token_costs_its_address_nothing() -> None:
    chat = LoginClient()
    chat.replica.holds_reads = True
    for _ in range(UNKNOWN_TOKENS.burst + 1):
        secret = secrets.new_secret(secrets.TOKEN)

        def made_elsewhere(secret: str = secret) -> None:
            chat.log_in("bob", secret)
            chat.replica.release_reads()

        chat.replica.on_read_held = made_elsewhere
        assert chat.get(f"{GENERAL}?consistency=stale", **bearer(secret)).status_code == 200


class Deferring(LoginClient):
    """A client of an application whose server can defer."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = DeferredResponse()
        self.flushes = 0
        self.replica.holds_reads = True
        self.replica.flush = self._flushed  # type: ignore[method-assign]

    def _flushed(self) -> None:
        self.flushes += 1

    def send(self, method: str, target: str, secret: str, body: bytes = b"") -> object:
        """What the application returned."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "RAW_URI": target,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "raft_chat.defer": lambda: self.answer,
        }
        return self.app(environ | bearer(secret), lambda status, headers: None)


def test_no_thread_waits_while_a_token_is_looked_for() -> None:
    chat = Deferring()
    secret = secrets.new_secret(secrets.TOKEN)
    assert chat.send("POST", GENERAL, secret, b'{"Message":"hi"}') is chat.answer
    assert chat.send("GET", GENERAL, secrets.new_secret(secrets.TOKEN)) is chat.answer
    assert chat.answer.is_waiting
    chat.log_in("bob", secret)
    chat.replica.release_reads()
    status, _, post = chat.answer.next()
    assert (status, post["User"]) == (201, "bob")
    status, headers, problem = chat.answer.next()
    assert (status, problem["code"], headers["WWW-Authenticate"]) == (401, "bad_token", "Bearer")
    assert chat.flushes == 1  # of the post, which nobody else would have


def test_no_log_line_and_no_answer_has_a_token(caplog: pytest.LogCaptureFixture) -> None:
    chat = Deferring()
    secret, unknown = chat.secret["bob"], secrets.new_secret(secrets.TOKEN)
    caplog.set_level("DEBUG")
    chat.state.page = None  # type: ignore[method-assign, assignment]
    chat.send("GET", GENERAL, secret)
    chat.send("POST", GENERAL, unknown, b"{")
    chat.send("GET", f"/tokens?user={secret}", secret)
    chat.replica.release_reads()
    told = [chat.answer.next() for _ in range(3)]
    assert [status for status, _, _ in told] == [500, 401, 403]
    assert "Traceback" in caplog.text
    for each in (secret, unknown):
        assert each[3:] not in caplog.text + str(told)


def test_who_cannot_be_looked_for_is_told_to_come_again() -> None:
    chat = Deferring()
    chat.send("GET", GENERAL, secrets.new_secret(secrets.TOKEN))
    chat.replica.release_reads(Unavailable("no quorum"))
    assert chat.answer.next()[0] == 503


def test_the_operators_token_is_good_at_his_own_node_and_posts_nothing() -> None:
    chat = LoginClient()
    assert chat.get("/rooms", **bearer(OPERATORS_SECRET)).status_code == 200
    assert code(chat.get("/rooms", **bearer(OPERATORS_SECRET[:-1] + "x"))) == (401, "bad_token")
    assert code(chat.get("/rooms", **bearer("op_é"))) == (401, "bad_token")
    body = b'{"User":"ann","Message":"hi"}'
    assert code(chat.open("POST", GENERAL, body, bearer(OPERATORS_SECRET))) == (403, "forbidden")
    assert code(chat.get("/rooms", **chat.cookie(OPERATORS_SECRET))) == (401, "bad_token")
    assert chat.replica.proposed == []


def test_where_a_node_has_no_operator_nobody_is_one() -> None:
    chat = LoginClient()
    authenticator = Authenticator(FakeReplica(chat.state), chat.state)
    with pytest.raises(Problem):
        authenticator.authenticate(bearer("op_"))


def test_the_open_mode_asks_for_no_token_and_knows_the_operator() -> None:
    chat = ChatClient()
    authenticator = Authenticator(chat.replica, chat.state, operator=OPERATORS_SECRET)
    assert authenticator.authenticate({}) == Actor()
    assert authenticator.authenticate(bearer("anything")) == Actor()
    assert authenticator.authenticate({"HTTP_COOKIE": "raft-chat-c0ffee=rc_x"}) == Actor()
    assert authenticator.authenticate(bearer(OPERATORS_SECRET)) == Actor(OPERATOR)
    with pytest.raises(Problem):
        authenticator.authenticate(bearer("op_x"))


def test_the_clock_of_the_node_itself_is_not_asked() -> None:
    """Sessions and invites are made, and tokens looked at, by the log's time."""
    chat = LoginClient()
    authenticator = Authenticator(chat.replica, chat.state)
    chat.replica.now += 400 * 24 * HOUR
    assert authenticator.now() == chat.replica.now
    assert authenticator.expiry(60) == chat.replica.now + 60_000_000


def test_where_the_time_is_not_known_nothing_is_made_and_no_token_is_too_old() -> None:
    chat = LoginClient()
    authenticator = Authenticator(chat.replica, chat.state)
    chat.replica.clocks_known = False
    assert authenticator.authenticate(bearer(chat.secret["bob"])) == Actor(chat.number["bob"], "bob")
    with pytest.raises(Problem) as refused:
        authenticator.expiry(60)
    assert refused.value.status == 503
    assert authenticator.expiry(0) == 0, "never is known"


def test_back_in_the_open_mode_tokens_are_not_looked_at() -> None:
    chat = LoginClient()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    chat.state.ask(lambda tables: setattr(tables, "guarded", True))  # as if there were a private room
    answer = chat.say("bob", User="eve")
    assert answer.status_code == 201
    assert proposed(chat)[0].by == 0


def test_a_token_that_is_used_in_a_later_hour_is_noted_and_no_other() -> None:
    chat, token_activity = LoginClient(), TokenActivity()
    clock = Clock(chat.replica.now)
    authenticator = Authenticator(chat.replica, chat.state, token_activity=token_activity, clock=clock)
    assert authenticator.authenticate(bearer(chat.secret["bob"])) is not None
    assert token_activity.take(9) == ()
    clock.now += HOUR
    for _ in range(3):
        authenticator.authenticate(bearer(chat.secret["bob"]))
        authenticator.authenticate(bearer(secrets.new_secret(secrets.TOKEN)))
    assert token_activity.take(9) == (chat.number["bob"],)
    clock.now += HOUR
    for _ in range(3):
        authenticator.admit_post(Actor(chat.number["eve"], "eve"))
        authenticator.admit_post(Actor(user="eve"))
    assert token_activity.take(9) == (chat.number["eve"],)


@pytest.mark.parametrize("query", ["", "&min_index=1"])
def test_until_the_mode_is_known_a_stale_read_is_confirmed_and_then_no_longer(query: str) -> None:
    chat = LoginClient()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    authenticator = Authenticator(chat.replica, chat.state, knows_mode=False)
    client = Client(deferring(create_app(chat.replica, chat.state, authenticator=authenticator)), use_cookies=False)
    stale = f"{GENERAL}?consistency=stale{query}"
    chat.replica.unavailable = True
    assert client.get(stale).status_code == 503
    chat.replica.unavailable = False
    assert client.get(stale).status_code == 200
    chat.replica.unavailable = True
    assert client.get(stale).status_code == 200


def test_until_the_mode_is_known_strangers_are_told_the_health_of_a_node_and_no_more() -> None:
    chat = LoginClient()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    authenticator = Authenticator(chat.replica, chat.state, operator=OPERATORS_SECRET, knows_mode=False)
    chat.app = create_app(chat.replica, chat.state, authenticator=authenticator)
    client = Client(deferring(chat.app), use_cookies=False)
    operator = {"Authorization": f"Bearer {OPERATORS_SECRET}"}
    chat.replica.unavailable = True
    told = client.get("/raft")
    assert set(told.get_json()) == {"Id", "Leader", "Term", "Role"}
    assert "X-Raft-Index" not in told.headers
    assert "Members" in client.get("/raft", headers=operator).get_json()
    chat.replica.unavailable = False
    client.get("/raft")
    assert "Members" in client.get("/raft").get_json()


def test_what_a_proxy_on_this_machine_forwards_is_not_the_operators_though_it_names_no_client() -> None:
    address = {"REMOTE_ADDR": "127.0.0.1"}
    assert not is_operators({**address, "raft_chat.from_this_machine": False}, None)
    assert is_operators({**address, "raft_chat.from_this_machine": True}, None)
    assert is_operators({"REMOTE_ADDR": "192.0.2.1"}, Actor(OPERATOR))
