"""Who is in the cluster, and changing that."""

import pytest

from chat.commands import OPERATOR, Actor
from chat.commands.cluster import SetAuth
from chat.state.settings import INVITE, OPEN
from chat.state.tables import Tables
from raft.core.configuration import AddMember, MoveMember, PlanPromotion, RemoveMember
from raft.errors import ChangeRefused
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient, refused
from tests.chat.login_client import LoginClient, bearer, code

URL = b"http://127.0.0.1:42379"


def test_the_status_is_this_members_own_and_always_answers() -> None:
    chat = ChatClient()
    chat.replica.unavailable = True
    answer = chat.get("/raft")
    assert answer.json == chat.replica.status()
    assert chat.replica.reads == 0


def test_changes_reach_the_engine_and_are_answered_204() -> None:
    chat = ChatClient()
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    answers = [
        chat.open("POST", "/raft/4", URL, form),
        chat.open("POST", "/raft/5?voting=false", URL + b"\n"),
        chat.open("POST", "/raft/6?voting=true", URL + b"/"),
        chat.open("PUT", "/raft/4", URL),
        chat.open("DELETE", "/raft/3"),
        chat.open("POST", "/raft/5/promote"),
        chat.open("POST", "/raft/2/lead"),
    ]
    assert [(answer.status_code, answer.data) for answer in answers] == [(204, b"")] * 7
    assert all("Content-Type" not in answer.headers for answer in answers)
    url = URL.decode()
    assert chat.replica.changes == [
        AddMember(4, url),
        AddMember(5, url, voting=False),
        AddMember(6, url),
        MoveMember(4, url),
        RemoveMember(3),
        PlanPromotion(5),
    ]
    assert chat.replica.transfers == [2]


def test_the_clock_is_accepted_with_both_times_in_the_answer() -> None:
    chat = ChatClient()
    chat.replica.now += 400 * 86_400_000_000
    answer = chat.open("POST", "/raft/clock")
    assert answer.status_code == 200
    assert answer.json == {"Before": "2027-12-28T10:00:00.123456Z", "After": "2026-11-23T10:00:00.123456Z"}
    again = chat.open("POST", "/raft/clock")
    assert again.json == {"Before": "2026-11-23T10:00:00.123456Z", "After": "2026-11-23T10:00:00.123456Z"}


def test_clocks_that_differ_are_a_409() -> None:
    chat = ChatClient()
    chat.replica.refusal = ChangeRefused("clocks_differ", "the clocks of the nodes differ")
    answer = chat.open("POST", "/raft/clock")
    assert code(answer) == (409, "clocks_differ")


def test_under_a_login_only_an_admin_and_the_operator_accept_a_clock() -> None:
    chat = LoginClient()
    for who, status in ((bearer(chat.secret["bob"]), 403), (bearer(OPERATORS_SECRET), 200), ({}, 401)):
        assert chat.open("POST", "/raft/clock", environ=who).status_code == status


@pytest.mark.parametrize("id", ["0", "x", "-1", "1.5", "%31%30x", "99999999999999999999", ""])
def test_an_id_that_is_no_number_is_a_400(id: str) -> None:
    chat = ChatClient()
    for method in ("POST", "PUT", "DELETE"):
        assert refused(chat.open(method, f"/raft/{id}", URL), 400, "Id")
    for act in ("promote", "lead"):
        assert refused(chat.open("POST", f"/raft/{id}/{act}"), 400, "Id")
    assert (chat.replica.changes, chat.replica.transfers) == ([], [])


@pytest.mark.parametrize(
    "body", [b"", b"127.0.0.1:42379", b"http://127.0.0.1", b"\xff", b'"http://a:1"', b"http://a:1/x"]
)
def test_a_body_that_is_no_peer_url_is_a_400(body: bytes) -> None:
    chat = ChatClient()
    for method in ("POST", "PUT"):
        assert refused(chat.open(method, "/raft/4", body), 400, "Url")
    assert chat.replica.changes == []


def test_voting_is_true_or_false() -> None:
    assert refused(ChatClient().open("POST", "/raft/4?voting=no", URL), 400, "voting")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("change_in_progress", 409),
        ("no_majority", 409),
        ("id_used", 409),
        ("not_in_contact", 409),
        ("unknown_member", 404),
        ("invalid", 400),
    ],
)
def test_a_change_that_the_engine_refuses_says_why(code: str, status: int) -> None:
    chat = ChatClient()
    chat.replica.refusal = ChangeRefused(code, "not like this")
    for answer in (chat.open("DELETE", "/raft/3"), chat.open("POST", "/raft/3/lead")):
        assert answer.status_code == status
        assert answer.json is not None
        assert (answer.json["code"], answer.json["detail"]) == (code, "not like this")


def test_a_change_without_a_quorum_is_a_503() -> None:
    chat = ChatClient()
    chat.replica.unavailable = True
    assert chat.open("DELETE", "/raft/3").headers["Retry-After"] == "1"


def test_a_change_waits_without_the_gate() -> None:
    chat = ChatClient()
    steps: list[str] = []
    chat.open("DELETE", "/raft/3", environ={"raft_chat.off_cpu": Gate(steps)})
    assert steps == ["opened", "closed"] * 2  # until its state is up to date, and until it is done


class Gate:
    """Stands for the server's gate on CPU work."""

    def __init__(self, steps: list[str]) -> None:
        self.steps = steps

    def __call__(self) -> "Gate":
        return self

    def __enter__(self) -> None:
        self.steps.append("opened")

    def __exit__(self, *_: object) -> None:
        self.steps.append("closed")


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/raft/4"),
        ("PUT", "/raft/4"),
        ("DELETE", "/raft/3"),
        ("POST", "/raft/3/promote"),
        ("POST", "/raft/3/lead"),
    ],
)
def test_where_there_is_a_login_the_membership_is_an_admins_and_the_operators(method: str, target: str) -> None:
    chat = LoginClient()
    assert code(chat.open(method, target, URL)) == (401, "login_needed")
    for name in ("bob", "gus"):
        assert code(chat.open(method, target, URL, bearer(chat.secret[name]))) == (403, "forbidden")
    assert (chat.replica.changes, chat.replica.transfers) == ([], [])
    for secret in (chat.secret["ann"], OPERATORS_SECRET):
        assert chat.open(method, target, URL, bearer(secret)).status_code == 204
    assert chat.get("/raft").status_code == 200


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("POST", "/raft/4", URL),
        ("PUT", "/raft/4", URL),
        ("DELETE", "/raft/3", b""),
        ("POST", "/raft/3/promote", b""),
        ("POST", "/raft/3/lead", b""),
        ("POST", "/raft/clock", b""),
        ("POST", "/raft/scrub", b""),
        ("PATCH", "/settings", b'{"MaxRooms":1}'),
    ],
)
def test_once_there_was_an_account_the_cluster_is_an_admins_in_the_open_mode_too(
    method: str, target: str, body: bytes
) -> None:
    """Or anybody could add a node of their own, which gets the whole log with its private rooms."""
    chat = LoginClient()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert chat.say("ann", User="anybody").status_code == 201
    assert code(chat.open(method, target, body)) == (401, "login_needed")
    for name in ("bob", "gus"):
        assert code(chat.open(method, target, body, bearer(chat.secret[name]))) == (403, "forbidden")
    assert code(chat.open(method, target, body, bearer("rc_" + "x" * 43)))[0] == 401
    assert (chat.replica.changes, chat.replica.transfers) == ([], [])
    for secret in (chat.secret["ann"], OPERATORS_SECRET):
        assert chat.open(method, target, body, bearer(secret)).status_code in (200, 202, 204)


def test_an_admin_who_is_deactivated_is_none_whatever_their_token_says() -> None:
    chat = LoginClient()

    def deactivate(tables: Tables) -> None:  # without the ending of the tokens, which is another guard
        tables.users["ann"] = tables.users["ann"]._replace(active=False)

    chat.state.ask(deactivate)
    assert code(chat.open("POST", "/raft/4", URL, bearer(chat.secret["ann"]))) == (401, "bad_token")
    assert code(chat.say("ann")) == (401, "bad_token")
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert code(chat.open("POST", "/raft/4", URL, bearer(chat.secret["ann"]))) == (401, "bad_token")


def test_under_a_login_strangers_are_told_the_health_of_a_node_and_no_more() -> None:
    chat = LoginClient()
    for environ in ({}, bearer("rc_" + "x" * 43)):
        answer = chat.open("GET", "/raft", environ=environ)
        assert answer.status_code == 200
        assert answer.json is not None
        assert set(answer.json) == {"Id", "Leader", "Term", "Role"}
        assert "X-Raft-Index" not in answer.headers
    for target in ("/raft/x", "/rooms", "/", "/openapi.json", "/nowhere/at/all"):
        assert "X-Raft-Index" not in chat.get(target).headers
    known = chat.ask("gus", target="/raft")
    assert known.json is not None
    assert "Members" in known.json
    assert known.headers["X-Raft-Index"].isdecimal()
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert "X-Raft-Index" in chat.get("/raft").headers


def test_a_membership_is_not_changed_by_who_was_revoked_meanwhile() -> None:
    chat = LoginClient()
    chat.replica.holds_reads = True

    def revoked_elsewhere() -> None:
        chat.revoke("ann")
        chat.replica.release_reads()

    chat.replica.on_read_held = revoked_elsewhere
    assert code(chat.open("DELETE", "/raft/3", environ=bearer(chat.secret["ann"]))) == (401, "bad_token")
    assert chat.replica.changes == []
