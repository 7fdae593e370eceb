"""Whole members that compact: who slept through it catches up by a snapshot, and nothing is lost."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Semaphore

import pytest

from raft.compaction.compactor import compact
from raft.compaction.policy import LogMaintenance
from raft.core.configuration import AddMember
from raft.core.node import Node
from raft.core.raft_messages import Entry, SnapshotMeta
from raft.errors import CorruptLog, Unavailable
from raft.rpc.endpoint import Endpoint
from raft.storage.disk import RealDisk
from raft.storage.identity import load_or_create, save
from raft.storage.snapshot_receiver import SPARE_BYTES
from tests.raft.members import DEADLINE_S, Host, Members, founded
from tests.raft.memory import Memory
from tests.support.waiting import wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Members]:
    """Three members for one test."""
    with founded(tmp_path) as cluster:
        yield cluster


def keeper_of(host: Host) -> LogMaintenance:
    member = host.member
    return LogMaintenance(
        member._node_lock, member._storage, member._applier, host.memory,
        lambda up_to, _: compact(RealDisk(), host.path, up_to, Memory()),
    )  # fmt: skip


def rewritten(host: Host) -> SnapshotMeta:
    """All that the member has applied is in a snapshot, as its log maintenance would have it."""
    return keeper_of(host).compact(host.member.last_applied)


def say(host: Host, *numbers: int) -> None:
    for number in numbers:
        host.result_of(b"%d" % number)


def same_on_all(cluster: Members) -> None:
    last = max(host.member.last_applied for host in cluster.running())
    for host in cluster.running():
        wait_until(lambda host=host: host.member.last_applied >= last, DEADLINE_S, "all is applied")  # type: ignore[misc]
    assert len({tuple(zip(h.memory.indexes, h.memory.commands, strict=True)) for h in cluster.running()}) == 1


def test_a_member_that_slept_through_a_compaction_catches_up_by_a_snapshot(cluster: Members) -> None:
    sleeper = cluster.followers()[0]
    say(cluster.leader(), 1, 2)
    sleeper.stop()
    say(cluster.leader(), 3, 4)
    meta = rewritten(cluster.leader())
    say(cluster.leader(), 5)
    sleeper.start()
    same_on_all(cluster)
    assert sleeper.memory.restored == [meta.index]
    assert sleeper.memory.commands == [b"1", b"2", b"3", b"4", b"5"]
    assert [entry.body for entry in sleeper.member.commands(sleeper.memory.indexes)] == sleeper.memory.commands
    assert sleeper.result_of(b"6") == 6


def test_what_a_snapshot_brought_outlives_the_process(cluster: Members) -> None:
    sleeper = cluster.followers()[0]
    sleeper.stop()
    say(cluster.leader(), 1, 2, 3)
    rewritten(cluster.leader())
    sleeper.start()
    same_on_all(cluster)
    say(cluster.leader(), 4)
    for host in cluster.running():
        host.stop()
    for host in cluster.hosts.values():
        host.start()
    say(cluster.leader(), 5)
    same_on_all(cluster)
    assert sleeper.memory.commands == [b"1", b"2", b"3", b"4", b"5"]


def test_what_nobody_needs_any_more_is_gone_and_the_rest_is_read_by_its_index(cluster: Members) -> None:
    say(cluster.leader(), 1, 2)
    gone = list(cluster.leader().memory.indexes)
    cluster.leader().result_of(b"null")
    say(cluster.leader(), 3)
    for host in cluster.running():
        same_on_all(cluster)
        rewritten(host)
    say(cluster.leader(), 4)
    same_on_all(cluster)
    for host in cluster.running():
        assert [entry.body for entry in host.member.commands(host.memory.indexes)] == [b"3", b"4"]
        with pytest.raises(LookupError):
            host.member.commands(gone)


def test_a_start_goes_on_from_the_newest_checkpoint(cluster: Members) -> None:
    follower = cluster.followers()[0]
    say(cluster.leader(), 1, 2)
    same_on_all(cluster)
    keeper_of(follower).checkpoint()
    say(cluster.leader(), 3)
    same_on_all(cluster)
    keeper_of(follower).checkpoint()
    index = follower.member.last_applied
    say(cluster.leader(), 4)
    same_on_all(cluster)
    follower.stop()
    follower.start()
    same_on_all(cluster)
    assert follower.memory.restored == [index] and follower.memory.commands == [b"1", b"2", b"3", b"4"]


def test_a_leader_that_compacted_goes_on_sending_its_log_to_those_who_have_the_beginning(
    cluster: Members,
) -> None:
    say(cluster.leader(), 1, 2)
    same_on_all(cluster)
    for host in cluster.running():
        rewritten(host)
    say(cluster.leader(), 3)
    term = cluster.leader().member.status()["Term"]
    same_on_all(cluster)
    assert all(not host.memory.restored for host in cluster.running())
    assert cluster.leader().member.status()["Term"] == term


def test_a_new_member_joins_by_a_snapshot_and_gets_its_vote(cluster: Members) -> None:
    say(cluster.leader(), 1, 2)
    same_on_all(cluster)
    meta = rewritten(cluster.leader())
    fourth = cluster.add(4)
    fourth.incarnate()
    cluster.leader().member.change(AddMember(4, fourth.port.url))
    fourth.start(cluster_id=cluster[1].member.cluster_id)
    wait_until(lambda: votes(cluster, 4), DEADLINE_S, "member 4 votes")
    same_on_all(cluster)
    assert fourth.memory.restored == [meta.index]
    assert fourth.result_of(b"3") == 3


def test_the_generation_outlives_a_compaction_and_reaches_a_member_that_joins_by_the_snapshot(tmp_path: Path) -> None:
    cluster = Members(tmp_path, 1)
    cluster.found()
    only = cluster[1]
    say(only, 1)
    assert only.member.generation == ""
    only.stop()
    save(RealDisk(), only.path, replace(load_or_create(RealDisk(), only.path, 1), generation="ab12"))
    only.start()
    assert only.member.generation == "ab12"  # before it is committed
    say(only, 2)
    rewritten(only)
    only.stop()
    only.start()
    assert only.member.generation == "ab12"
    second = cluster.add(2)
    second.incarnate()
    cluster.leader().member.change(AddMember(2, second.port.url))
    second.start(cluster_id=only.member.cluster_id)
    same_on_all(cluster)
    assert second.memory.restored
    assert second.member.generation == "ab12"
    cluster.close()


def test_a_member_without_room_for_a_snapshot_goes_on_and_takes_it_when_there_is_room(
    cluster: Members, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sleeper = cluster.followers()[0]
    sleeper.stop()
    say(cluster.leader(), 1, 2)
    rewritten(cluster.leader())
    monkeypatch.setattr(RealDisk, "free_bytes", lambda disk, path: SPARE_BYTES if path == sleeper.path else 1 << 40)
    sleeper.start()
    wait_until(lambda: "refused the snapshot" in caplog.text, DEADLINE_S, "it says so")
    say(cluster.leader(), 3)
    assert sleeper.is_running and sleeper.ended.empty() and not sleeper.memory.restored
    monkeypatch.undo()
    same_on_all(cluster)
    assert sleeper.memory.commands == [b"1", b"2", b"3"]
    assert not list(sleeper.path.glob("*received*"))


def test_a_read_does_not_wait_for_a_restore_beyond_its_time(cluster: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.3)
    sleeper = cluster.followers()[0]
    sleeper.stop()
    say(cluster.leader(), 1)
    rewritten(cluster.leader())
    restoring, may_go_on = threading.Event(), threading.Event()
    restore = Memory.restore

    def slow(memory: Memory, index: int, lines: Iterable[bytes]) -> None:
        restoring.set()
        assert may_go_on.wait(DEADLINE_S)
        restore(memory, index, lines)

    monkeypatch.setattr(Memory, "restore", slow)
    sleeper.start()
    try:
        assert restoring.wait(DEADLINE_S)
        assert isinstance(sleeper.read(), Unavailable)
    finally:
        may_go_on.set()
    same_on_all(cluster)
    assert sleeper.read() is None


def silent_ms(leader: Host, host: Host) -> int:
    members = leader.member.status()["Members"]
    assert isinstance(members, list)
    return next(int(member["LastContactMs"]) for member in members if member["Id"] == host.id)


def has_only_a_snapshot_for(leader: Host, follower: Host) -> bool:
    """Whether it leads, what the follower lacks is not in its log any more, and no append is on its way."""

    def ask(node: Node) -> bool:
        progress = node.progress.get(follower.id)
        return progress is not None and not progress.in_flight and progress.next_index <= node.log.base_index

    return leader.member._node_lock.read(ask)


def votes(cluster: Members, id: int) -> bool:
    members = cluster.leader().member.status()["Members"]
    assert isinstance(members, list)
    return any(member["Id"] == id and member["Voting"] for member in members)


def test_a_snapshot_overtakes_a_member_that_has_not_applied_what_it_holds(
    cluster: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raft.engine.applier.APPLY_BYTES_MAX", 1)  # one entry at a time, as it were a long log
    say(cluster.leader(), 1, 2)
    same_on_all(cluster)
    leader, slow = cluster.leader(), cluster.followers()[0]
    begun, may_go_on, apply = Semaphore(0), Semaphore(0), slow.memory.apply

    def apply_slowly(entry: Entry) -> object:
        begun.release()
        assert may_go_on.acquire(timeout=DEADLINE_S)
        return apply(entry)

    monkeypatch.setattr(slow.memory, "apply", apply_slowly)
    say(leader, 3)
    assert begun.acquire(timeout=DEADLINE_S)
    say(leader, 4, 5)
    committed = leader.member.last_applied
    wait_until(lambda: slow.member.status()["CommitIndex"] == committed, DEADLINE_S, "the news of the commit")
    may_go_on.release()
    assert begun.acquire(timeout=DEADLINE_S), "of 4 and 5 it applies 4"
    slow.port.shut()
    wait_until(lambda: silent_ms(leader, slow) > 100, DEADLINE_S, "nothing gets through any more")
    say(leader, 6, 7)
    meta = rewritten(leader)
    [other] = (host for host in cluster.running() if host not in (leader, slow))
    wait_until(lambda: other.member.last_applied >= meta.index, DEADLINE_S, "the other has it all")
    keeper_of(other).compact(meta.index)  # it leads from here on, should the leader be slow for a moment
    wait_until(
        lambda: any(has_only_a_snapshot_for(host, slow) for host in (leader, other)), DEADLINE_S, "no append can come"
    )
    endpoint = Endpoint(slow.member.sender, slow.member.hello)
    endpoint.engine = slow.member
    slow.port.open(endpoint)
    wait_until(lambda: slow.member._storage.base_index == meta.index, DEADLINE_S, "the snapshot stands in for 5")
    may_go_on.release(10)
    same_on_all(cluster)
    assert slow.memory.restored == [meta.index] and slow.ended.empty()


def test_a_damaged_snapshot_is_not_sent_and_the_leader_names_its_own_file(
    cluster: Members, caplog: pytest.LogCaptureFixture
) -> None:
    """Another member, whose log is whole, comes to lead and brings what is lacking."""
    sleeper = cluster.followers()[0]
    sleeper.stop()
    leader = cluster.leader()
    say(leader, 1, 2, 3)
    meta = rewritten(leader)
    [snapshot] = leader.path.glob("snapshot-*.jsonl")
    content = bytearray(snapshot.read_bytes())
    damaged = content.index(b'"command":2')
    content[damaged] ^= 1
    snapshot.write_bytes(content)
    line = content.rindex(b"\n", 0, damaged) + 1
    sleeper.start()
    wait_until(lambda: "is damaged" in caplog.text, DEADLINE_S, "the damage is found")
    wait_until(lambda: sleeper.memory.commands == [b"1", b"2", b"3"], DEADLINE_S, "somebody else leads")
    told = [record.getMessage() for record in caplog.records if "is damaged at byte" in record.getMessage()]
    assert len(told) == 1 and f"{snapshot}: the snapshot is damaged at byte {line}" in told[0]
    assert leader.member.status()["Damage"] == [{"File": snapshot.name, "Offset": line}]
    assert meta.index not in sleeper.memory.restored, "nothing damaged was taken in"


def test_a_damaged_old_record_is_logged_once_and_shown_in_the_status(
    cluster: Members, caplog: pytest.LogCaptureFixture
) -> None:
    host = cluster.leader()
    say(host, 1, 2)
    [segment] = host.path.glob("log-*.jsonl")
    content = segment.read_bytes()
    assert "Damage" not in host.member.status()
    place = content.index(b'"command":1')
    with segment.open("r+b") as file:
        file.seek(place + len(b'"command":'))
        file.write(b"7")
    for _ in range(3):
        with pytest.raises(CorruptLog):
            host.member.commands(host.memory.indexes)
    line = content.rindex(b"\n", 0, place) + 1
    assert host.member.status()["Damage"] == [{"File": segment.name, "Offset": line}]
    assert sum(f"{segment}: entry" in record.getMessage() for record in caplog.records) == 1
