"""A member without a cluster says what it waits for, and proposes nothing."""

import pytest

from chat.replica import Replica
from raft.cluster.starting_member import StartingMember
from raft.core.configuration import RemoveMember
from raft.errors import RaftError, Unavailable

LISTED = {2: "http://127.0.0.1:22379", 1: "http://127.0.0.1:12379"}


def starting() -> StartingMember:
    return StartingMember(1, LISTED, lambda: "waiting for member 2")


def test_it_stands_where_a_replica_stands() -> None:
    replica: Replica = starting()
    assert (replica.cluster_id, replica.last_applied) == ("", 0)


def test_a_proposal_is_refused_in_words_and_nothing_is_proposed() -> None:
    told: list[object] = []
    starting().propose(b"{}", told.append)
    [error] = told
    assert isinstance(error, Unavailable)
    assert str(error) == "waiting for member 2; nothing was changed"


def test_a_linearizable_read_is_refused() -> None:
    told: list[RaftError | None] = []
    starting().read(told.append)
    assert [type(error) for error in told] == [Unavailable]


def test_a_change_is_refused() -> None:
    with pytest.raises(Unavailable, match="waiting for member 2"):
        starting().change(RemoveMember(2))
    with pytest.raises(Unavailable, match="waiting for member 2"):
        starting().transfer(2)


def test_what_its_cluster_knows_is_not_known() -> None:
    with pytest.raises(Unavailable, match="waiting for member 2"):
        _ = starting().level


def test_nothing_is_applied() -> None:
    assert starting().commands([]) == []
    assert starting().nodes() == []


def test_its_status_shows_the_listed_members_in_order_and_what_is_waited_for() -> None:
    status = starting().status()
    assert (status["Id"], status["Leader"], status["Role"], status["ClusterId"]) == (1, 0, "starting", "")
    assert status["WaitingFor"] == "waiting for member 2"
    assert status["Members"] == [
        {"Id": 1, "Url": LISTED[1], "Voting": True, "Advertise": ""},
        {"Id": 2, "Url": LISTED[2], "Voting": True, "Advertise": ""},
    ]


def test_what_is_waited_for_is_asked_each_time() -> None:
    waits = iter(["waiting for member 2", "reading the log"])
    member = StartingMember(1, LISTED, lambda: next(waits))
    assert [member.status()["WaitingFor"] for _ in range(2)] == ["waiting for member 2", "reading the log"]
