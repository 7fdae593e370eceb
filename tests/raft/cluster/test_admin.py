"""Membership changes on their way to the leader, and requests that are repeated after their answer got lost."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from raft.cluster.admin import Administration, change_of, is_so_already
from raft.core.configuration import (
    AddMember,
    Change,
    Configuration,
    DescribeMember,
    Member,
    MoveMember,
    PlanPromotion,
    RemoveMember,
)
from raft.errors import ChangeRefused, InvalidMessage
from raft.rpc.calls import ChangeMembership

URL = "http://127.0.0.1:42379"
VOTER = Member(1, "http://127.0.0.1:12379", voting=True)
LEARNER = Member(2, "http://127.0.0.1:22379", voting=False)
COMING = Member(3, "http://127.0.0.1:32379", voting=False, promote=True)
NOW = Configuration({1: VOTER, 2: LEARNER, 3: COMING}, removed=frozenset({9}))


@pytest.mark.parametrize(
    "change",
    [AddMember(4, URL, True), AddMember(4, URL, False), RemoveMember(4), PlanPromotion(4), MoveMember(4, URL)],
)
def test_a_change_is_the_same_after_it_has_travelled(change: Change) -> None:
    url, voting = getattr(change, "url", ""), getattr(change, "voting", False)
    assert change_of(ChangeMembership(1, 2, type(change).__name__, change.id, url, voting)) == change


@pytest.mark.parametrize("name", ["", "addMember", "Configuration", "__class__", "DescribeMember", "PromoteMember"])
def test_what_is_no_change_that_a_client_may_ask_for_is_refused(name: str) -> None:
    """A description comes from the member itself, with every RPC; a vote from the leader, to who has caught up."""
    with pytest.raises(InvalidMessage, match="change"):
        change_of(ChangeMembership(1, 2, name, 4, URL, True))


@pytest.mark.parametrize("name", ["AddMember", "MoveMember"])
@pytest.mark.parametrize("url", ["", "nonsense", "https://a:1", "http://a", "http://a:99999", "http://a:1/path"])
def test_a_url_that_cannot_be_called_never_gets_into_the_log(name: str, url: str) -> None:
    with pytest.raises(InvalidMessage, match="url"):
        change_of(ChangeMembership(1, 2, name, 4, url, True))


@pytest.mark.parametrize("name", ["AddMember", "RemoveMember", "PlanPromotion", "MoveMember"])
def test_nobody_has_the_id_0(name: str) -> None:
    with pytest.raises(InvalidMessage, match="id"):
        change_of(ChangeMembership(1, 2, name, 0, URL, True))


@pytest.mark.parametrize(
    "change",
    [
        AddMember(1, VOTER.url, voting=True),
        AddMember(2, LEARNER.url, voting=False),
        AddMember(3, COMING.url, voting=True),  # it shall vote when it has caught up, which is all that was asked
        RemoveMember(9),
        PlanPromotion(1),
        PlanPromotion(3),
        MoveMember(1, VOTER.url),
    ],
)
def test_asking_for_what_is_so_is_done_already(change: Change) -> None:
    assert is_so_already(NOW, change)


@pytest.mark.parametrize(
    "change",
    [
        AddMember(4, URL),
        AddMember(1, URL),  # there, but elsewhere
        AddMember(1, VOTER.url, voting=False),
        AddMember(2, LEARNER.url, voting=True),
        AddMember(9, URL),  # removed: the id is used
        RemoveMember(1),
        RemoveMember(4),  # never there: said so, rather than done
        PlanPromotion(2),
        PlanPromotion(4),
        MoveMember(1, URL),
        MoveMember(4, URL),
        DescribeMember(1, "", "", 1),
    ],
)
def test_anything_else_has_to_be_done_or_refused(change: Change) -> None:
    assert not is_so_already(NOW, change)


def test_a_change_is_so_once_it_has_been_made() -> None:
    for change in (AddMember(4, URL), RemoveMember(3), PlanPromotion(2), MoveMember(1, URL)):
        assert not is_so_already(NOW, change)
        assert is_so_already(NOW.after(change), change)
    assert not is_so_already(replace(NOW, removed=frozenset()), RemoveMember(9))


class Asked(Exception):
    """The engine was asked for a change."""


class Engine:
    """Stands for the lock around the node, which leads."""

    leader_id = 1

    def act(self, action: Callable[..., object]) -> object:
        raise Asked


def administration(*, is_guarded: bool) -> Administration:
    engine: Any = Engine()
    nothing: Any = None
    return Administration(
        1, engine, nothing, nothing, threading.Event(), nothing, election_timeout_s=0.1, is_guarded=is_guarded
    )


OUTSIDE = ["http://10.0.0.4:12379", "http://chat4:12379", "http://[fe80::4]:12379", "http://127.0.0.1.example:1"]
ON_THIS_MACHINE = [URL, "http://localhost:4", "http://LOCALHOST:4", "http://[::1]:4", "http://127.9.9.9:4"]


@pytest.mark.parametrize("change", [AddMember, MoveMember])
@pytest.mark.parametrize("url", OUTSIDE)
def test_a_member_on_another_machine_is_refused_where_nodes_prove_nothing(
    url: str, change: Callable[[int, str], Change]
) -> None:
    asked = change(4, url)
    with pytest.raises(ChangeRefused, match=r"--cluster-secret-file .*--insecure-peers") as refused:
        administration(is_guarded=False).change(asked)
    assert refused.value.code == "invalid"
    # Another node forwards it that was started with --insecure-peers.
    forwarded = ChangeMembership(2, 1, type(asked).__name__, 4, url, True)
    assert administration(is_guarded=False).serve_change(forwarded).code == "invalid"
    with pytest.raises(Asked):
        administration(is_guarded=True).change(asked)
    with pytest.raises(Asked):
        administration(is_guarded=True).serve_change(forwarded)


@pytest.mark.parametrize("change", [*map(partial(AddMember, 4), ON_THIS_MACHINE), MoveMember(4, URL), RemoveMember(4)])
def test_a_member_on_this_machine_needs_no_proof(change: Change) -> None:
    with pytest.raises(Asked):
        administration(is_guarded=False).change(change)
