"""Whole members in one process: a state that is changed is found and replaced."""

import json
import logging
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast
from unittest import mock

import pytest

from raft.core.configuration import AddMember
from raft.errors import Unavailable
from tests.raft.members import DEADLINE_S, Host, Members
from tests.raft.memory import Memory
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def often() -> Iterator[None]:
    """Look, tell, ask and compare much more often than a cluster does in use."""
    with (
        mock.patch("raft.core.digest_points.FINE_US", 50_000),
        mock.patch("raft.core.digest_points.COARSE_US", 200_000),
        mock.patch("raft.digest.watch.LOOK_S", 0.03),
        mock.patch("raft.digest.watch.QUIET_S", 0.1),
        mock.patch("raft.digest.watch.QUIET_AGAIN_S", 0.1),
        mock.patch("raft.digest.watch.UNDECIDED_S", 0.5),
        mock.patch("raft.digest.set_aside.ASK_S", 0.2),
        mock.patch("raft.engine.gossip.REFRESH_S", 0.2),
    ):
        yield


def cluster_of(path: Path, count: int) -> Members:
    cluster = Members(path, count)
    for host in cluster.hosts.values():
        host.makes_snapshots = True
    cluster.found()
    return cluster


def digest_status(host: Host) -> dict[str, object]:
    return cast("dict[str, object]", host.member.status().get("StateDigest", {}))


def post(host: Host, words: range) -> set[bytes]:
    """Have these words committed, whoever leads."""
    said = {json.dumps(f"word {word}").encode() for word in words}
    for word in said:
        assert not isinstance(host.result_of(word), Exception)
    return said


def wait_until_compared(cluster: Members, at_least: int = 1) -> None:
    def have() -> bool:
        applied = max(host.member.last_applied for host in cluster.running())
        return applied >= at_least and all(
            digest_status(host).get("AgreedIndex") == applied for host in cluster.running()
        )

    wait_until(have, DEADLINE_S, "the state compared by all")


def names(host: Host, changed: Host) -> bool:
    return digest_status(host).get("Differing") == [changed.id]


def change_state(host: Host) -> None:
    """Change what this process holds in memory, as a bad memory cell does."""
    host.memory.commands[1] = b'"something else"'


class Posting:
    """Posts that go on by one member, each acknowledged or refused."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.acknowledged: set[bytes] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="posting")

    def __enter__(self) -> "Posting":
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while not self._stopping.wait(0.005):
            count += 1
            word = f'"meanwhile {count}"'.encode()
            if not isinstance(self._host.result_of(word), Exception):
                self.acknowledged.add(word)


def test_a_follower_whose_state_was_changed_gets_a_new_one_while_posts_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        said = post(leader, range(20))
        wait_until_compared(cluster)
        changed, other = cluster.followers()
        with Posting(leader) as posting, caplog.at_level(logging.INFO):
            with mock.patch("raft.digest.set_aside.SetAside._ask"):  # it stays set aside meanwhile
                change_state(changed)
                wait_until(lambda: changed.member.is_set_aside, DEADLINE_S, "the changed member set aside")
                with pytest.raises(Unavailable, match="differs"):
                    changed.member.backup(1, 0.0)
                assert isinstance(changed.read(), Unavailable)
                assert isinstance(changed.result_of(b'"refused"'), Unavailable)
                for host in (leader, other):
                    wait_until(
                        partial(names, host, changed),
                        DEADLINE_S,
                        f"the member named by {host.id}",
                    )
                    assert host.member.metrics().state_mismatches[changed.id]
                assert digest_status(changed)["SetAside"] == "differs"
                assert ("state", "the state of this node differs from the other nodes'") in changed.member.readiness()
                assert changed.member.metrics().state_mismatches[changed.id]
            wait_until(lambda: changed.memory.restored, DEADLINE_S, "a new state")
        wait_until(lambda: not changed.member.is_set_aside, DEADLINE_S, "the member serving again")
        cluster.wait_until_all_have(said | posting.acknowledged)
        assert posting.acknowledged
        assert changed.memory.commands == leader.memory.commands
        assert changed.read() is None
        named = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len([record for record in named if f"member {changed.id} at index" in record.getMessage()]) >= 3
        wait_until_compared(cluster)
        wait_until(
            lambda: not any("Differing" in digest_status(host) for host in cluster.running()),
            DEADLINE_S,
            "nobody named",
        )
    finally:
        cluster.close()


def test_of_two_members_whose_states_differ_both_report_and_both_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(tmp_path, 2)
    try:
        leader = cluster.leader()
        post(leader, range(5))
        wait_until_compared(cluster)
        (follower,) = cluster.followers()
        change_state(follower)
        post(leader, range(5, 10))
        wait_until(
            lambda: all(digest_status(host).get("Undecided") == [1, 2] for host in cluster.running()),
            DEADLINE_S,
            "both reporting both",
        )
        for host in cluster.running():
            assert not host.member.is_set_aside
            assert host.read() is None
            assert host.member.metrics().state_mismatches == {1: True, 2: True}
            assert ("state", "") in host.member.readiness()
        assert any("nobody knows which is right" in record.getMessage() for record in caplog.records)
        assert not leader.memory.restored and not follower.memory.restored
    finally:
        cluster.close()


def test_a_leader_whose_state_was_changed_hands_over_and_gets_a_new_one(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        said = post(leader, range(10))
        wait_until_compared(cluster)
        change_state(leader)
        said |= post(cluster.hosts[leader.id % 3 + 1], range(10, 12))  # by another one: an answer is its own state's
        wait_until(
            lambda: leader.member.is_set_aside and not leader.member.leads,
            DEADLINE_S,
            "the leader set aside, a follower",
        )
        wait_until(lambda: leader.memory.restored, DEADLINE_S, "a new state of the former leader")
        wait_until(lambda: not leader.member.is_set_aside, DEADLINE_S, "the former leader serving again")
        assert leader.read() is None
        cluster.wait_until_all_have(said)
        assert leader.memory.commands == cluster.leader().memory.commands
    finally:
        cluster.close()


def test_a_member_that_is_started_again_while_it_is_set_aside_compares_before_it_serves(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        post(leader, range(10))
        wait_until_compared(cluster)
        changed, other = cluster.followers()
        for host in (leader, other):
            host.member._log_maintenance = None  # so that no member makes the snapshot
        change_state(changed)
        post(leader, range(10, 12))
        wait_until(lambda: changed.member.is_set_aside, DEADLINE_S, "the changed member set aside")
        changed.stop()
        assert (changed.path / "SET_ASIDE").exists()
        with mock.patch("raft.digest.watch.DigestWatch.tell"):  # nothing is compared
            changed.start()
            assert changed.member.is_set_aside
            assert isinstance(changed.read(), Unavailable)
        wait_until(lambda: not changed.member.is_set_aside, DEADLINE_S, "the member serving again")
        assert changed.read() is None  # its log was sound, and so is the state that it gave
        assert not (changed.path / "SET_ASIDE").exists()
        assert changed.memory.commands == leader.memory.commands
    finally:
        cluster.close()


def test_a_member_that_lags_and_one_that_joins_are_compared_and_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        lagging, _ = cluster.followers()
        lagging.stop()
        post(leader, range(40))
        lagging.start()
        joining = cluster.add(4)
        joining.makes_snapshots = True
        leader.member.change(AddMember(4, joining.port.url, voting=False))
        joining.start(cluster_id=leader.member.cluster_id)
        post(leader, range(40, 60))
        wait_until_compared(cluster)
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert not any(host.member.is_set_aside for host in cluster.running())
    finally:
        cluster.close()


def test_a_state_that_a_start_restored_wrongly_is_found(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        post(leader, range(10))
        wait_until_compared(cluster)
        started, _ = cluster.followers()
        maintenance = started.member._log_maintenance
        assert maintenance is not None
        maintenance.checkpoint()
        started.stop()
        restore = Memory.restore
        with mock.patch.object(Memory, "restore", lambda memory, index, lines: restore(memory, index, [*lines][1:])):
            started.start()
        wait_until(lambda: len(started.memory.restored) == 2, DEADLINE_S, "the leader's state after the own one")
        wait_until(lambda: not started.member.is_set_aside, DEADLINE_S, "the member serving")
        assert started.memory.commands == leader.memory.commands
    finally:
        cluster.close()


@pytest.mark.parametrize("harm", ["document", "file"])
def test_a_start_whose_base_is_lost_serves_nobody_until_it_has_the_leaders_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    cluster = cluster_of(tmp_path, 3)
    try:
        leader = cluster.leader()
        said = post(leader, range(20))
        cluster.wait_until_all_have(said)
        host = cluster.followers()[0]
        maintenance = host.member._log_maintenance
        assert maintenance is not None
        base = maintenance.compact(host.member.last_applied).index
        said |= post(leader, range(20, 30))  # what this member acknowledges above its base
        cluster.wait_until_all_have(said)
        host.stop()
        path = host.path / f"snapshot-{base:015d}.jsonl"
        for checkpoint in host.path.glob("checkpoint-*"):
            checkpoint.unlink()
        content = path.read_bytes()
        middle = content.index(b"\n") + 20
        path.unlink() if harm == "file" else path.write_bytes(content[:middle] + b"\0" + content[middle + 1 :])
        with caplog.at_level(logging.INFO):
            host.start()
            wait_until(lambda: not host.member.is_set_aside, DEADLINE_S, "it serves again")
        assert "this node lost its state" in caplog.text
        assert host.member._storage.base_index > base
        said |= post(leader, range(30, 35))
        cluster.wait_until_all_have(said)
        assert host.read() is None
        wait_until(lambda: "Damage" not in host.member.status(), DEADLINE_S, "nothing is damaged")
        assert host.memory.commands == leader.memory.commands
    finally:
        cluster.close()
