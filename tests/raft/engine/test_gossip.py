"""A notice reaches every other member that understands it, the newest in the end; the protocol hears nothing of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from raft.rpc.calls import Notice, NoticeReply, Sender
from raft.rpc.codec import NOTICE_BYTES_MAX, encode
from raft.rpc.peer_client import PeerConnection
from tests.raft.members import DEADLINE_S, Host, Members
from tests.support.waiting import wait_until


class Heard:
    """What one member was told by the others."""

    def __init__(self, host: Host) -> None:
        self.newest: dict[int, bytes] = {}
        self.times = 0
        host.on_notice = self._take

    def _take(self, member: int, body: bytes) -> None:
        self.newest[member] = body
        self.times += 1


@contextmanager
def _street_of(path: Path, *levels: int) -> Iterator[Members]:
    """Members of these levels, who know it of each other."""
    cluster = Members(path)
    for host, level in zip(cluster.hosts.values(), levels, strict=True):
        host.level = level
    cluster.found()
    try:
        wait_until(lambda: all(_levels(host) == levels for host in cluster.running()), DEADLINE_S, "the levels")
        yield cluster
    finally:
        cluster.close()


def _levels(host: Host) -> tuple[int, ...]:
    members = host.member._node_lock.read(lambda node: node.committed_configuration).members
    return tuple(members[id].level for id in sorted(members))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Members]:
    monkeypatch.setattr("raft.engine.gossip.POLL_S", 0.02)
    with _street_of(tmp_path, 3, 3, 3) as cluster:
        yield cluster


def told(heard: list[Heard], newest: dict[int, bytes]) -> None:
    """Wait until the three have heard just that of the others."""
    wait_until(
        lambda: [h.newest for h in heard] == [{id: b for id, b in newest.items() if id != own} for own in (1, 2, 3)],
        DEADLINE_S,
        "what was told",
    )


def test_what_a_member_tells_comes_to_all_others_and_the_newest_is_what_stays(cluster: Members) -> None:
    heard = [Heard(host) for host in cluster.running()]
    for body in (b'{"Online":["ann"]}', b"", b"\x00\xff\n", bytes(NOTICE_BYTES_MAX)):
        cluster[1].member.tell(body)
    told(heard, {1: bytes(NOTICE_BYTES_MAX)})
    for n in range(50):
        for id in (1, 2, 3):
            cluster[id].member.tell(b"%d of %d" % (n, id))
    told(heard, {id: b"49 of %d" % id for id in (1, 2, 3)})


def test_a_notice_that_is_too_large_is_refused_where_it_is_told(cluster: Members) -> None:
    with pytest.raises(ValueError, match="262145 bytes"):
        cluster[1].member.tell(bytes(NOTICE_BYTES_MAX + 1))


def test_a_member_that_comes_back_is_told_again(cluster: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.engine.gossip.REFRESH_S", 0.1)
    heard = Heard(cluster[3])
    cluster[1].member.tell(b"before it went")
    wait_until(lambda: heard.newest.get(1), DEADLINE_S, "the notice")
    cluster[3].stop()
    cluster[3].start()
    heard = Heard(cluster[3])
    wait_until(lambda: heard.newest.get(1) == b"before it went", DEADLINE_S, "being told again")


def test_what_was_answered_is_told_again_only_after_a_while(cluster: Members) -> None:
    heard = Heard(cluster[2])
    cluster[1].member.tell(b"once")
    wait_until(lambda: heard.times, DEADLINE_S, "the notice")
    threading.Event().wait(0.3)  # fifteen looks
    assert heard.times <= 3  # a look before the answer has it said twice


def test_who_is_no_member_of_this_cluster_is_not_listened_to(cluster: Members) -> None:
    heard = Heard(cluster[2])
    cluster_id = cluster[2].member.cluster_id
    known = cluster[1].member.sender()
    for sender in (
        Sender(1, known.incarnation, "another", "", 3),
        Sender(1, "a wiped disk", cluster_id, "", 3),
        Sender(1, known.incarnation, cluster_id, "", 2),
    ):
        connection = PeerConnection(cluster[2].port.url)
        status, _ = connection.call(encode(sender, Notice(1, 2, b"hello")), DEADLINE_S)
        connection.close()
        assert status == 403
    assert heard.newest == {}


def test_a_notice_is_no_sign_of_a_leader(cluster: Members) -> None:
    cluster.leader()
    follower = cluster.followers()[0].member
    for host in cluster.running():
        if host.member is not follower:
            host.stop()
    silent_ms = follower._node_lock.read(lambda node: node.silent_ms)
    age_s = follower.contact_age_s()
    assert isinstance(follower._notices.take(Notice(1, follower.id, b"hello")), NoticeReply)
    assert follower._node_lock.read(lambda node: node.silent_ms) >= silent_ms
    assert follower.contact_age_s() > age_s
