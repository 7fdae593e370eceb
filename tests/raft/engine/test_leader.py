"""The way to the leader: where the configuration says it is, and what an answer that is none proves."""

from collections.abc import Iterator

import pytest

from raft.core.configuration import Configuration, Member
from raft.engine.leader_client import LeaderClient
from raft.rpc.calls import ReadIndex, ReadIndexReply, Sender
from raft.rpc.codec import encode
from tests.raft.alone import Alone
from tests.raft.scripted_peer import ScriptedPeer, answer, answering

OWN, OTHER = 1, 2


@pytest.fixture
def way() -> Iterator[tuple[Alone, LeaderClient]]:
    engine = Alone(voters=3)
    leader = LeaderClient(engine.node_lock, lambda: Sender(OWN, "aa", "c1", ""), 1.0)
    yield engine, leader
    leader.close()


def lives_at(engine: Alone, member: int, url: str) -> None:
    node = engine.node_lock._node
    [(index, configuration)] = node._configurations
    moved = {**configuration.members, member: Member(member, url, voting=True)}
    node._configurations = [(index, Configuration(moved))]


CALL = ReadIndex(OWN, OTHER)
REPLY = answer(encode(Sender(OTHER, "bb", "c1", ""), ReadIndexReply(7)))


def test_a_call_goes_to_where_the_configuration_says_the_member_is(way: tuple[Alone, LeaderClient]) -> None:
    engine, leader = way
    with ScriptedPeer(answering(REPLY, REPLY)) as peer:
        lives_at(engine, OTHER, peer.url)
        for _ in range(2):
            leader.open(OTHER)
            assert leader.call(CALL) == ReadIndexReply(7)
        assert peer.connections == 1
        leader.close()


def test_a_member_that_has_moved_is_called_at_its_new_place(way: tuple[Alone, LeaderClient]) -> None:
    engine, leader = way
    with ScriptedPeer(answering(REPLY)) as old, ScriptedPeer(answering(REPLY)) as new:
        for peer in (old, new):
            lives_at(engine, OTHER, peer.url)
            leader.open(OTHER)
            assert leader.call(CALL) == ReadIndexReply(7)
        leader.close()


def test_a_member_that_nobody_knows_cannot_be_opened(way: tuple[Alone, LeaderClient]) -> None:
    with pytest.raises(ConnectionError, match="member 9"):
        way[1].open(9)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer(b'{"code":"removed","detail":"you were removed"}', 410), "you were removed"),
        (answer(b"<html>", 502), "cannot be read"),
        (answer(b"{}\n"), "format"),
        (b"SSH-2.0\r\n\r\n", "not HTTP"),
    ],
)
def test_an_answer_that_is_none_leaves_open_whether_it_was_done(
    way: tuple[Alone, LeaderClient], said: bytes, words: str
) -> None:
    engine, leader = way
    with ScriptedPeer(answering(said)) as peer:
        lives_at(engine, OTHER, peer.url)
        leader.open(OTHER)
        with pytest.raises(ConnectionError, match=words):
            leader.call(CALL)
        leader.close()
