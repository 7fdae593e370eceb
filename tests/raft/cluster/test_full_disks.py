"""A full disk: what the reserve lets through, who takes what, who leads, and what clients and peers are told."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from raft.core.node import Node, Role
from raft.core.raft_messages import AppendEntries, AppendEntriesReply, Entry, HardState, Kind, ProposalId
from raft.engine.forwarding import NO_ROOM_S
from raft.engine.group_commit import PROPOSE_BYTES_MAX
from raft.errors import DiskFailed, DiskFull, InvalidMessage, Unavailable
from raft.rpc.calls import ProposeReply, ReadIndexReply
from raft.rpc.codec import decode_answer, encode
from raft.storage.disk import AppendFile, NoRoom, RealDisk
from raft.storage.identity import IDENTITY_NAME, load_or_create, save
from raft.storage.log_store import Storage
from raft.storage.reserve import (
    FILES,
    FILES_MIN,
    KEPT_BYTES,
    RESERVE_BYTES_MAX,
    RESERVE_BYTES_MIN,
    RESERVE_SHARE,
    Reserve,
    held_in,
)
from tests.raft.alone import DEADLINE_S, Alone
from tests.raft.core.test_node import append, follower, led, persisted, settle
from tests.raft.disks import UnsyncedDisk, content, entries
from tests.raft.engine.test_forwarding import kinds
from tests.raft.forwarder_case import OTHER, Case
from tests.raft.machines import Machines
from tests.raft.rpc.test_codec import SENDER
from tests.raft.storage.test_snapshots import OTHER as OTHERS_LOG
from tests.raft.storage.test_snapshots import meta_of, receive, snapshot_bytes

MIB = 1 << 20


class SmallDisk(UnsyncedDisk):
    """A disk with so many bytes and names."""

    def __init__(self, room: int, names: int = 1000) -> None:
        self.room = room
        self.names = names
        self.error = errno.ENOSPC

    def create(self, path: Path) -> AppendFile:
        if self.names < 1:
            raise NoRoom(self.error, os.strerror(self.error))
        file = super().create(path)
        self.names -= 1
        return _SmallFile(file, self)

    def remove(self, path: Path) -> None:
        self.room += path.stat().st_size
        self.names += 1
        super().remove(path)

    def rename(self, source: Path, target: Path) -> None:
        if target.exists():
            self.room += target.stat().st_size
            self.names += 1
        super().rename(source, target)

    def free_bytes(self, path: Path) -> int:
        return self.room if self.names else 0


class _SmallFile:
    def __init__(self, file: AppendFile, disk: SmallDisk) -> None:
        self._file, self._disk = file, disk
        self.fsync, self.fdatasync, self.close = file.fsync, file.fdatasync, file.close

    def append(self, data: bytes) -> None:
        part = data[: self._disk.room]
        self._disk.room -= len(part)
        self._file.append(part)
        if len(part) < len(data):
            raise NoRoom(self._disk.error, os.strerror(self._disk.error))


# The reserve


@pytest.mark.parametrize("free", [RESERVE_SHARE * RESERVE_BYTES_MIN, 3 * MIB, 100 * MIB])
def test_a_reserve_is_an_eighth_of_what_is_free_and_a_mebibyte_at_most(tmp_path: Path, free: int) -> None:
    disk = SmallDisk(free)
    assert Reserve(disk, tmp_path).make()
    assert free - disk.room == min(free // RESERVE_SHARE, RESERVE_BYTES_MAX)
    assert len(held_in(disk, tmp_path)) == FILES


def test_where_next_to_nothing_is_free_there_is_no_reserve_and_the_disk_is_full(tmp_path: Path) -> None:
    disk = SmallDisk(RESERVE_SHARE * RESERVE_BYTES_MIN - 1)
    reserve = Reserve(disk, tmp_path)
    assert not reserve.make()
    assert "has no room" in reserve.why_full
    assert reserve.room_bytes() == disk.room - KEPT_BYTES
    assert held_in(disk, tmp_path) == []


def test_a_reserve_that_is_given_up_is_room_and_is_made_again_once_there_is_some(tmp_path: Path) -> None:
    disk = SmallDisk(3 * MIB)
    reserve = Reserve(disk, tmp_path)
    reserve.make()
    held, disk.room = 3 * MIB - disk.room, 0
    assert reserve.give_up("it is full")
    assert (disk.room, reserve.room_bytes(), reserve.why_full) == (held, held - KEPT_BYTES, "it is full")
    assert not reserve.give_up("it is full"), "it was given up before"
    assert not reserve.make()
    disk.room = 3 * MIB
    assert reserve.make()
    assert (reserve.room_bytes(), reserve.why_full) == (None, "")


def test_a_reserve_gives_a_few_names_of_files_back_too(tmp_path: Path) -> None:
    disk = SmallDisk(100 * MIB, names=FILES)
    reserve = Reserve(disk, tmp_path)
    reserve.make()
    assert disk.free_bytes(tmp_path) == 0
    reserve.give_up("no names are left")
    assert disk.names == FILES
    disk.names = FILES_MIN - 1
    assert not reserve.make()
    assert disk.names == FILES_MIN - 1
    disk.names = FILES_MIN
    assert reserve.make()


def test_a_start_on_a_full_disk_gives_the_reserve_up_first(tmp_path: Path) -> None:
    disk = SmallDisk(3 * MIB)
    Reserve(disk, tmp_path).make()
    disk.room = 0
    Reserve(disk, tmp_path).prepare_start()
    identity = load_or_create(disk, tmp_path, 1)
    Storage.open(disk, tmp_path).close()
    assert load_or_create(disk, tmp_path, 1).boot > identity.boot


class QuotaDisk(SmallDisk):
    """A disk whose file system does not tell how much this user may write."""

    def free_bytes(self, path: Path) -> int:
        return 100 * MIB


def test_a_start_finds_out_a_quota_that_the_file_system_does_not_tell(tmp_path: Path) -> None:
    disk = QuotaDisk(3 * MIB)
    Reserve(disk, tmp_path).make()
    room, disk.room = disk.room, 0
    again = Reserve(disk, tmp_path)
    again.prepare_start()
    assert (disk.room, held_in(disk, tmp_path)) == (3 * MIB - room, [])
    assert "no room" in again.why_full


def test_a_start_with_room_leaves_the_reserve_as_it_is_and_nothing_else(tmp_path: Path) -> None:
    disk = SmallDisk(3 * MIB)
    Reserve(disk, tmp_path).make()
    before, room = sorted(os.listdir(tmp_path)), disk.room
    Reserve(disk, tmp_path).prepare_start()
    assert (sorted(os.listdir(tmp_path)), disk.room) == (before, room)


def test_a_lock_is_held_though_the_disk_has_no_room_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", write)
    with_lock = RealDisk().lock(tmp_path / "LOCK", b"1\n")
    with pytest.raises(BlockingIOError):
        RealDisk().lock(tmp_path / "LOCK", b"2\n")
    with_lock.close()


def test_an_identity_that_finds_no_room_is_as_it_was_and_can_be_saved_later(tmp_path: Path) -> None:
    disk = SmallDisk(MIB)
    identity = load_or_create(disk, tmp_path, 1)
    before = (tmp_path / IDENTITY_NAME).read_bytes()
    disk.room = 10
    with pytest.raises(DiskFull):
        save(disk, tmp_path, identity)
    assert (tmp_path / IDENTITY_NAME).read_bytes() == before
    assert os.listdir(tmp_path) == [IDENTITY_NAME]
    disk.room = MIB
    save(disk, tmp_path, identity)


# The log


def test_a_snapshot_that_found_no_room_is_installed_later_though_another_one_was_begun_meanwhile(
    tmp_path: Path,
) -> None:
    disk = SmallDisk(100 * MIB)
    storage = Storage.open(disk, tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 3))
    receive(storage, meta_of(OTHERS_LOG, 50), snapshot_bytes(OTHERS_LOG, 50, [1, 2]))
    names, disk.names = disk.names, 0
    with pytest.raises(DiskFull):
        storage.install(meta_of(OTHERS_LOG, 50), HardState(3, 2, 50))
    disk.names = names
    storage.receive(50, 3, 100)
    storage.sweep(0.0)
    storage.sweep(1e9)
    storage.install(meta_of(OTHERS_LOG, 50), HardState(3, 2, 50))
    assert storage.base_index == 50


def test_a_full_member_takes_a_snapshot_that_fits_on_what_its_reserve_left(tmp_path: Path) -> None:
    data = snapshot_bytes(OTHERS_LOG, 50, [1, 2])
    disk = SmallDisk(MIB)
    storage = Storage.open(disk, tmp_path)
    disk.room = len(data) + KEPT_BYTES
    is_full = False
    storage.ask_room(lambda: is_full)
    with pytest.raises(Exception, match="too few"):
        storage.receive(50, 3, len(data))
    is_full = True
    receive(storage, meta_of(OTHERS_LOG, 50), data)
    disk.room = MIB
    storage.install(meta_of(OTHERS_LOG, 50), HardState(3, 2, 50))
    assert storage.base_index == 50


# The core


def test_a_full_follower_takes_what_its_reserve_holds_and_acknowledges_no_more() -> None:
    node = follower()
    node.step(append(0, *entries(1, 2)))
    persisted(node)
    more = entries(3, 5)
    node.set_room(len(more[0].record) + len(more[1].record))
    node.step(append(2, *more))
    (reply,) = persisted(node).messages_after
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.match_index, reply.full, node.log.last_index) == (True, 4, True, 4)
    node.step(append(4, *more[2:]))
    (reply,) = node.ready().messages
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.match_index, reply.full) == (True, 4, True)
    node.set_room(None)
    node.step(append(4, *more[2:]))
    (reply,) = persisted(node).messages_after
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.match_index, reply.full) == (5, False)


def test_a_full_follower_truncates_nothing_that_it_cannot_replace() -> None:
    node = follower()
    node.step(append(0, *entries(1, 3)))
    persisted(node)
    node.set_room(0)
    node.step(append(1, *entries(2, 3, term=2), term=2))
    (reply,) = persisted(node).messages_after
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.match_index, node.log.last_index, node.log.last_term) == (1, 3, 1)


def test_a_full_follower_votes_and_its_heartbeats_are_answered() -> None:
    node = follower()
    node.set_room(0)
    node.step(AppendEntries(1, 2, 1, 0, 0, (), 0, round=3, heartbeat=True))
    (reply,) = persisted(node).messages_after
    assert isinstance(reply, AppendEntriesReply)
    assert (reply.success, reply.round, reply.full) == (True, 3, True)
    assert node.current_term == 1


def _pass(cluster: Machines, ms: int) -> None:
    for _ in range(ms // 60):
        for machine in cluster.up:
            cluster.tick(machine.id, 60)
            settle(cluster)


def _room(node: Node, room_bytes: int | None) -> bool:
    node.set_room(room_bytes)
    return True


def test_a_leader_whose_disk_is_full_hands_over_to_one_that_has_room() -> None:
    cluster, node = led()
    cluster.act(2, lambda node: _room(node, 0))
    _pass(cluster, 120)
    cluster.act(1, lambda node: _room(node, 0))
    _pass(cluster, 600)
    assert node.role is Role.LEADER, "two of three are full: nobody else would do better"
    cluster.act(2, lambda node: _room(node, None))
    _pass(cluster, 600)
    leader = cluster.leader()
    assert leader is not None
    assert leader.id != 1


def test_where_a_majority_has_room_it_goes_on_and_a_full_follower_is_sent_nothing() -> None:
    cluster, node = led()
    cluster.act(3, lambda node: _room(node, MIB))
    _pass(cluster, 120)
    cluster.propose(1, "x" * 100)
    _pass(cluster, 600)
    assert node.commit_index == node.log.last_index
    assert cluster.machines[3].running.log.last_index < node.log.last_index
    cluster.act(3, lambda node: _room(node, None))
    _pass(cluster, 300)
    assert cluster.machines[3].running.log.last_index == node.log.last_index


def test_where_no_majority_has_room_only_what_frees_space_is_taken_and_committed() -> None:
    cluster, node = led()
    for id in (2, 3):
        cluster.act(id, lambda node: _room(node, MIB))
    _pass(cluster, 120)
    with pytest.raises(DiskFull):
        cluster.propose(1, "x")
    last = node.log.last_index
    cluster.act(1, lambda node: node.propose([(ProposalId(1, 1, 900, 899), b'"x"')], 1, frees=True))
    _pass(cluster, 300)
    assert node.commit_index == last + 1
    assert [cluster.machines[id].running.log.last_index for id in (2, 3)] == [last + 1, last + 1]


def test_a_member_out_of_reach_is_none_that_has_room() -> None:
    cluster, node = led()
    cluster.act(2, lambda node: _room(node, 0))
    _pass(cluster, 120)
    assert node.majority_has_room
    cluster.crash(3)
    _pass(cluster, 600)
    assert node.role is Role.LEADER
    assert not node.majority_has_room


def test_an_answer_that_lacks_whether_the_disk_is_full_is_refused() -> None:
    for answer in (AppendEntriesReply(1, 2, 1, True, 1, 0, full=True), ProposeReply(False, 2, full=True)):
        assert decode_answer(encode(SENDER, answer))[1] == answer
        with pytest.raises(InvalidMessage, match="full"):
            decode_answer(encode(SENDER, answer).replace(b',"full":true', b""))


# Group commit


class _FullStorage:
    """Wraps `Alone.storage.append`: so many writes find no room."""

    def __init__(self, alone: Alone, times: int) -> None:
        self.left = times
        self._append = alone.storage.append
        alone.storage.append = self.append  # type: ignore[method-assign]

    def append(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        if self.left:
            self.left -= 1
            raise DiskFull("no room")
        self._append(hard_state, entries)


def test_a_write_that_finds_no_room_goes_to_the_reserve_and_then_only_what_frees_space_does(tmp_path: Path) -> None:
    alone = Alone()
    alone.lead()
    disk = SmallDisk(3 * MIB)
    reserve = Reserve(disk, tmp_path)
    reserve.make()
    alone.group_commit._reserve, alone.group_commit._frees = reserve, lambda command: command == b'"delete"'
    _FullStorage(alone, 1)
    disk.room = 0
    told: list[object] = []
    alone.commit(b'"last"')
    assert (alone.group_commit.is_full(), alone.group_commit.stuck, alone.failures) == (True, "", [])
    alone.group_commit.put(alone.waiting(b'"post"', told))
    alone.group_commit.put(alone.waiting(b'"delete"'))
    alone.group_commit.flush()
    assert kinds(told) == [DiskFull]
    written = [entry.body for _, batch in alone.storage.batches for entry in batch if entry.kind is Kind.COMMAND]
    assert written == [b'"last"', b'"delete"']
    disk.room = 3 * MIB
    reserve.make()
    alone.group_commit.report_room()
    alone.commit(b'"post"')
    assert not alone.group_commit.is_full()


def test_what_comes_while_not_even_the_reserve_can_be_written_is_refused_at_once_and_nothing_is_lost() -> None:
    alone = Alone()
    alone.lead()
    full = _FullStorage(alone, 1_000_000)
    first, told = alone.waiting(b"1"), list[object]()
    alone.group_commit.put(first)
    thread = Thread(target=alone.group_commit.flush, daemon=True)
    thread.start()
    alone.group_commit.put(alone.waiting(b"2", told))
    deadline = Event()
    while not told:
        assert not deadline.wait(0.01)
    assert kinds(told) == [DiskFull]
    full.left = 0
    thread.join(DEADLINE_S)
    assert (thread.is_alive(), alone.group_commit.stuck) == (False, "")
    assert alone.storage.batches[-1][1][-1].body == b"1"


def test_little_is_proposed_at_a_time_so_that_a_reserve_holds_it() -> None:
    alone = Alone()
    alone.lead()
    writes = len(alone.storage.batches)
    for _ in range(6):
        alone.group_commit.put(alone.waiting(b'"%b"' % (b"x" * (PROPOSE_BYTES_MAX // 2))))
    alone.group_commit.flush()
    assert [len(batch) for _, batch in alone.storage.batches[writes:]] == [2, 2, 2]


# What a follower's clients are told


NO_ROOM = ProposeReply(False, OTHER, full=True)


@pytest.fixture
def case() -> Case:
    case = Case()
    case.node_lock.leader_id = OTHER
    case.forwarder._frees = lambda command: command == b'"delete"'
    return case


def test_where_the_leader_says_that_no_majority_has_room_posts_are_refused_and_deletions_sent_again(
    case: Case,
) -> None:
    posted, deleted = case.propose(b'"post"'), case.propose(b'"delete"')
    for answer in (NO_ROOM, ProposeReply(True, OTHER)):
        case.to_leader.answers.put(answer)
    case.run_threads()
    assert (kinds(posted), deleted) == ([DiskFull], [])
    assert kinds(case.propose(b'"post"')) == [DiskFull], "it is not asked again for a second"
    case.tick()
    case.run_threads()
    assert case.sent() == [[b'"post"', b'"delete"'], [b'"delete"']]
    case.forwarder._no_room_until_s -= NO_ROOM_S
    assert case.propose(b'"post"') == []


def test_a_read_at_a_full_follower_that_lacks_what_it_asks_for_is_refused_at_once(case: Case) -> None:
    case.group_commit.full = True
    case.node_lock.log = SimpleNamespace(last_index=6)  # type: ignore[attr-defined]
    told: list[object] = []
    case.forwarder.read(told.append)
    case.reads_to_leader.answers.put(ReadIndexReply(7))
    case.run_threads()
    assert kinds(told) == [Unavailable]


def test_a_deletion_that_the_leader_has_no_room_for_is_refused(case: Case) -> None:
    told = case.propose(b'"delete"')
    case.to_leader.answers.put(NO_ROOM)
    case.run_threads()
    assert kinds(told) == [DiskFull]


def test_a_full_follower_proposes_only_where_it_is_sent_what_becomes_of_it(case: Case) -> None:
    case.group_commit.full = True
    refused = case.propose(b'"delete"')
    case.to_leader.answers.put(ProposeReply(True, OTHER))
    case.run_threads()
    assert kinds(refused) == [Unavailable]
    taken = case.propose(b'"delete"')
    for answer in (NO_ROOM, ProposeReply(True, OTHER)):
        case.to_leader.answers.put(answer)
    case.run_threads()
    assert taken == []
    assert case.sent() == [[], [], [b'"delete"']]


def test_a_leader_that_has_no_room_says_so_to_who_only_asks() -> None:
    cluster, node = led()
    for id in (2, 3):
        cluster.act(id, lambda node: _room(node, 0))
    node.require_room()
    _pass(cluster, 120)
    with pytest.raises(DiskFull):
        node.require_room()


def test_a_failed_sync_is_final_also_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage.open(RealDisk(), tmp_path)
    storage.append(HardState(1, 1, 0), entries(1, 2))

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("raft.storage.disk._fdatasync", fail)
    with pytest.raises(DiskFailed):
        storage.append(None, entries(3, 3))
    monkeypatch.undo()
    assert content(Storage.open(RealDisk(), tmp_path))[:2] == entries(1, 2)
