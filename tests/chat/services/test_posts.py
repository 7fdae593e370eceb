"""Making a post: checked, proposed once, its outcome told."""

from dataclasses import replace

import pytest

from chat.commands import Actor, Post, decode, encode
from chat.commands.rooms import DeleteRoom
from chat.errors import Problem
from chat.services.posts import check_post
from chat.services.proposals import propose
from chat.state.client_ids import ClientIds
from chat.state.machine import ChatState
from chat.state.results import Posted
from chat.state.room import PageRequest
from raft.core.raft_messages import Command
from raft.errors import CorruptLog
from tests.support.fake_replica import FIRST_INDEX, FakeReplica

FIELDS: dict[str, object] = {"User": "ann", "Message": "hi", "ClientId": "c1"}


def outcome(replica: FakeReplica, room: str = "general", **members: object) -> Posted | Problem:
    outcomes: list[Posted | Problem] = []
    propose(replica, check_post(room, FIELDS | members), outcomes.append)
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
        propose(replica, check_post(room, FIELDS | members), lambda _: None)
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


def test_a_retry_is_told_the_first_post_and_nothing_else_is() -> None:
    replica = FakeReplica(ChatState())
    first = outcome(replica)
    assert isinstance(first, Posted)
    assert outcome(replica) == replace(first, created=False)
    for other in ({"Message": "other"}, {"ReplyTo": 1}):
        reused = outcome(replica, **other)
        assert isinstance(reused, Problem)
        assert reused.code == "client_id_reused"
    elsewhere = outcome(replica, "other")
    assert isinstance(elsewhere, Problem)
    assert elsewhere.code == "client_id_reused"


def test_two_clientids_with_one_hash_are_told_apart_and_nothing_is_posted_for_the_second() -> None:
    state = ChatState()
    state.ask(lambda tables: setattr(tables, "client_ids", ClientIds(hash_of=lambda user, client_id: bytes(8))))
    replica = FakeReplica(state)
    first = outcome(replica)
    assert isinstance(first, Posted)
    for other in ({"ClientId": "c2"}, {"User": "bob"}, {"ClientId": "c2", "Message": "other"}):
        taken = outcome(replica, **other)
        assert isinstance(taken, Problem)
        assert (taken.status, taken.code) == (422, "client_id_reused")
    assert outcome(replica) == replace(first, created=False)
    assert state.page("general", PageRequest()).newest_id == 1


def test_a_retry_of_a_post_that_is_gone_is_told_so_whether_or_not_the_log_still_has_it() -> None:
    replica = FakeReplica(ChatState())
    outcome(replica)
    replica.commit(encode(DeleteRoom(Actor(), "general")))
    for _ in range(2):
        gone = outcome(replica)
        assert isinstance(gone, Problem)
        assert (gone.status, gone.code) == (410, "gone")
        replica.gone.add(FIRST_INDEX)


@pytest.mark.parametrize("error", [LookupError("a snapshot"), CorruptLog("log-1", 7, "damaged", "…"), OSError("EIO")])
def test_a_retry_of_a_post_that_cannot_be_read_is_to_be_tried_again(error: Exception) -> None:
    def commands(_: object) -> list[Command]:
        raise error

    replica = FakeReplica(ChatState())
    outcome(replica)
    replica.commands = commands  # type: ignore[method-assign, assignment]
    unknown = outcome(replica)
    assert isinstance(unknown, Problem)
    assert (unknown.status, unknown.members) == (504, {"ClientId": "c1"})


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
