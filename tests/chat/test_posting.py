"""Making a post: checked, proposed once, its outcome told."""

import pytest

from chat.commands import Post, decode
from chat.posting import check_post, propose_post
from chat.problems import Problem
from chat.state import ChatState, Posted
from tests.chat.fake_replica import FakeReplica

FIELDS: dict[str, object] = {"User": "ann", "Message": "hi", "ClientId": "c1"}


def outcome(replica: FakeReplica, room: str = "general", **members: object) -> Posted | Problem:
    outcomes: list[Posted | Problem] = []
    propose_post(replica, room, FIELDS | members, outcomes.append)
    (only,) = outcomes
    return only


def test_a_post_is_proposed_as_it_was_sent() -> None:
    replica = FakeReplica(ChatState())
    assert isinstance(outcome(replica), Posted)
    assert [decode(body) for body in replica.proposed] == [Post("general", "ann", "hi", "c1")]


def test_names_and_text_are_proposed_in_nfc() -> None:
    post = check_post("cafe\u0301", {"user": "e\u0301", "message": "o\u0308"})
    assert (post.room, post.user, post.message) == ("café", "é", "ö")


def test_a_client_id_is_made_where_none_was_sent() -> None:
    made = {check_post("general", {"User": "ann", "Message": "hi"}).client_id for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize(
    ("room", "members", "field"),
    [
        ("..", {}, "RoomName"),
        ("general", {"User": ""}, "User"),
        ("general", {"Message": 5}, "Message"),
        ("general", {"ClientId": None}, "ClientId"),
        ("general", {"ReplyTo": "1"}, "ReplyTo"),
        ("general", {"user": "ann"}, "User"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_proposed(room: str, members: dict[str, object], field: str) -> None:
    replica = FakeReplica(ChatState())
    with pytest.raises(Problem, match=f"^{field}: "):
        propose_post(replica, room, FIELDS | members, lambda _: None)
    assert replica.proposed == []


def test_a_missing_member_is_named() -> None:
    for given, missing in (({"User": "ann"}, "Message"), ({"Message": "hi"}, "User"), ({}, "Message")):
        with pytest.raises(Problem, match=f"^{missing}: missing"):
            check_post("general", given)


def test_a_refusal_of_the_state_is_a_422() -> None:
    replica = FakeReplica(ChatState())
    outcome(replica)
    reused = outcome(replica, Message="other")
    reply = outcome(replica, ClientId="c2", ReplyTo=9)
    assert isinstance(reused, Problem)
    assert isinstance(reply, Problem)
    assert (reused.status, reused.code) == (422, "client_id_reused")
    assert (reply.status, reply.code) == (422, "no_such_post")


def test_an_unknown_outcome_names_the_client_id_to_retry_with() -> None:
    replica = FakeReplica(ChatState())
    replica.loses_answers = True
    unknown = outcome(replica)
    assert isinstance(unknown, Problem)
    assert (unknown.status, unknown.members) == (504, {"ClientId": "c1"})
    replica.loses_answers = False
    retried = outcome(replica)
    assert isinstance(retried, Posted)
    assert (retried.id, retried.created) == (1, False)


def test_nothing_is_proposed_without_a_quorum() -> None:
    replica = FakeReplica(ChatState())
    replica.unavailable = True
    problem = outcome(replica)
    assert isinstance(problem, Problem)
    assert problem.status == 503
    assert ("Retry-After", "1") in problem.headers
