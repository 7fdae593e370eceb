"""Each place that reads records, and each kind of damage: what is lost is mended from another member, and read.

One cluster for all rows.  Each row writes entries of its own into a segment, or a snapshot, and damages that on one
member; then it reads there.  In the end no damage is known to that member, and all members hold the same.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from raft.backup.writer import write_backup
from raft.compaction import policy
from raft.compaction.child_process import damage_met
from raft.compaction.compactor import compact
from raft.compaction.failures import RewriteDamaged
from raft.compaction.policy import Rewrite
from raft.core import log
from raft.core.entries import command_entry, command_of_verified
from raft.core.raft_messages import AppendEntries, Entry, InstallSnapshot, ProposalId, SnapshotMeta
from raft.engine import applier
from raft.engine.replication import send_snapshot
from raft.errors import CorruptLog, RaftError
from raft.rpc.calls import FetchedEntries, FetchEntries, SnapshotChunk, SnapshotChunkReply
from raft.storage.disk import ReadFile, RealDisk
from raft.storage.segment import intact_lines_in
from tests.raft.members import DEADLINE_S, Host, Members, founded
from tests.raft.memory import Memory
from tests.support.waiting import wait_until

PAGE_BYTES = 4096
TEXT = b'"%b"' % (b"x" * 3000)  # a page holds one of these, so that a lost page is a lost record or two


class EioDisk(RealDisk):
    """A disk on which a part of some files cannot be read."""

    def __init__(self) -> None:
        self.unreadable: dict[Path, tuple[int, int]] = {}  # the first byte, and the one after the last

    def open(self, path: Path) -> ReadFile:
        return _EioFile(super().open(path), self.unreadable.get(path, (0, 0)))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self.unreadable.pop(target, None)  # another file, in other blocks


class _EioFile:
    def __init__(self, file: ReadFile, unreadable: tuple[int, int]) -> None:
        self._file = file
        self._first, self._after = unreadable
        self.close = file.close

    @property
    def size(self) -> int:
        return self._file.size

    def pread(self, size: int, offset: int) -> bytes:
        if offset < self._after and offset + size > self._first:
            raise OSError(errno.EIO, "Input/output error")
        return self._file.pread(size, offset)


class Scene:
    """Three members, one of which has the disk that rots."""

    def __init__(self, cluster: Members) -> None:
        self.cluster = cluster
        self.disks: dict[int, EioDisk] = {}
        self.number = 0

    def said(self, count: int = 6, *, forgets: bool = True) -> list[int]:
        """Commit new entries that lie in sealed segments of every member; their indexes.

        `forgets`: those before them are live no more, so that snapshots stay small.
        """
        leader = self.cluster.leader()
        if forgets:
            self.check_same()
            leader.result_of(b"null")
        before = len(leader.memory.indexes)
        for _ in range(count):
            self.number += 1
            leader.result_of(TEXT)
        self.wait_applied()
        for host in self.cluster.running():
            host.member._driver.group_commit.end_segment()
        return leader.memory.indexes[before:]

    def wait_applied(self) -> None:
        last = self.cluster.leader().member.last_applied
        for host in self.cluster.running():
            wait_until(lambda host=host: host.member.last_applied >= last, DEADLINE_S, "it is applied")  # type: ignore[misc]

    def check_same(self) -> None:
        """All members hold the same, as far as nothing is forgotten."""
        self.wait_applied()
        first, *others = ((host.memory.indexes, host.memory.commands) for host in self.cluster.running())
        assert all(other == first for other in others)

    def follower(self) -> Host:
        return self.cluster.followers()[0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "TAIL_ENTRIES_MAX", 2)  # what is sent to a follower comes from the disk
        for name in ("CHECK_S", "IDLE_CHECK_S", "RENEWAL_S", "YIELD_S"):
            patch.setattr(policy, name, 0.01)
        with founded(tmp_path_factory.mktemp("table")) as cluster:
            scene = Scene(cluster)
            for id, host in cluster.hosts.items():
                host.stop()
                host._disk = scene.disks[id] = EioDisk()
                host.rewrite = rewriting(host)
            for host in cluster.hosts.values():
                host.start()
            yield scene


def file_of(host: Host, index: int) -> tuple[Path, int]:
    """The file that holds this entry, and where."""
    needle = b'{"index":%d,"term"' % index  # not the state document, which names indexes too
    for path in sorted(host.path.glob("*.jsonl"), reverse=True):
        content = path.read_bytes()
        if needle in content:
            return path, content.rindex(b"\n", 0, content.index(needle)) + 1
    raise AssertionError(f"no file of member {host.id} has entry {index}")


# Damage, at the record that begins at an offset


def bit(scene: Scene, host: Host, path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset + 200)
        file.write(b"y")


def page(scene: Scene, host: Host, path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(PAGE_BYTES))


def short(scene: Scene, host: Host, path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.truncate(offset + 100)


def missing(scene: Scene, host: Host, path: Path, offset: int) -> None:
    path.unlink()


def eio(scene: Scene, host: Host, path: Path, offset: int) -> None:
    first = offset // PAGE_BYTES * PAGE_BYTES  # a page is read or not
    scene.disks[host.id].unreadable[path] = (first, first + PAGE_BYTES)


DAMAGES = (bit, page, short, missing, eio)


# Places that read


def read(scene: Scene, host: Host, indexes: list[int]) -> None:
    """A page, a message, an export, a history, missed events: all of them ask for commands by index."""
    commands = host.member.read_mended(lambda: host.member.commands(indexes))
    assert [command.body for command in commands] == [TEXT] * len(indexes)


def scrub(scene: Scene, host: Host, indexes: list[int]) -> None:
    ended = host.member._healing.scrub._ended
    host.member.scrub()
    wait_until(lambda: host.member._healing.scrub._ended > ended, DEADLINE_S, "all is read")


def fetch(scene: Scene, host: Host, indexes: list[int]) -> None:
    """Another member's fetch gets nothing damaged; the damage is left to others to find."""
    sent = host.member._healing.answer(FetchEntries(9, host.id, tuple(indexes))).entries
    assert all(command_of_verified(entry.record, entry.index).body == TEXT for entry in sent)
    read(scene, host, indexes)


def replication(scene: Scene, host: Host, indexes: list[int]) -> None:
    """A leader's append to a follower that lacks the entries: the leader's queue loads them so."""
    peers = host.member._peers
    message = AppendEntries(host.id, 9, 1, indexes[0] - 1, 1, None, 0, 0, last_index=indexes[-1])
    with pytest.raises(CorruptLog) as found:
        peers._load(message)
    assert peers._handle_damage(message, found.value), "it is mended, and leadership stays"
    peers._load(message)


def rewriting(host: Host) -> Rewrite:
    """What the member's child process does, in this process."""

    def rewrite(up_to: int, meanwhile: Callable[[], None]) -> SnapshotMeta:
        try:
            return compact(host._disk, host.path, up_to, Memory())
        except (RaftError, OSError) as error:
            damage = damage_met(error, host.path)
            assert damage is not None
            raise RewriteDamaged(damage) from None

    return rewrite


def compaction(scene: Scene, host: Host, indexes: list[int]) -> None:
    """The child meets the damage; the parent has all mended, and the next one succeeds."""
    maintenance = host.member._log_maintenance
    assert maintenance is not None
    maintenance.want(indexes[-1] - 1)
    wait_until(lambda: host.member._storage.base_index >= indexes[-1], DEADLINE_S, "the log is compacted")
    read(scene, host, indexes)


def restart(scene: Scene, host: Host, indexes: list[int]) -> None:
    host.start()
    last = scene.cluster.leader().member.last_applied
    wait_until(lambda: host.member.last_applied >= last, DEADLINE_S, "it has applied all")
    read(scene, host, indexes)


def backup(scene: Scene, host: Host, indexes: list[int]) -> None:
    """The child meets the damage, copies nothing of it, and is started again once the file is written anew."""
    path = host.path / "backup"
    go_on(scene)

    def make() -> None:
        path.unlink(missing_ok=True)
        write_backup(host._disk, host.path, path, host.member.last_applied, Memory(), program="this one", made_at="now")

    host.member._healing.read(make, DEADLINE_S, elsewhere=True)
    records = host.member._storage.own_reader.read_many(indexes)
    assert all(record in path.read_bytes() for record in records)


def transfer(scene: Scene, host: Host, indexes: list[int]) -> None:
    """A snapshot is sent to a member that lacks it: sound lines only, and all of them in the end."""
    storage = host.member._storage
    base, received = storage.snapshot, bytearray()
    assert base is not None

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        assert chunk.offset == len(received) or not chunk.lines
        assert sum(line.end() - line.start() for line in intact_lines_in(chunk.lines)) == len(chunk.lines)
        received.extend(chunk.lines)
        return SnapshotChunkReply(len(received))

    message, is_sent = InstallSnapshot(host.id, 9, 1, base.meta), False
    go_on(scene)
    while not is_sent:
        base = storage.snapshot  # where its state was lost, another one takes its place
        assert base is not None
        try:
            received.clear()
            send_snapshot(storage, host.id, 9, base.meta, ask, lambda: 4 * PAGE_BYTES)
            is_sent = True
        except CorruptLog as found:
            host.member._peers._handle_damage(message, found)
        except LookupError:  # replaced between the two calls
            continue
    assert all(record in received for record in storage.own_reader.read_many(indexes))


def go_on(scene: Scene) -> None:
    """Have an entry applied: a snapshot is made anew of a later state only."""
    scene.cluster.leader().result_of(TEXT)
    scene.wait_applied()


PLACES = (read, scrub, fetch, replication, compaction, backup, restart)


def settled(host: Host) -> None:
    """Wait until the member knows of no damage."""
    wait_until(lambda: "Damage" not in host.member.status(), DEADLINE_S, "nothing is damaged")
    wait_until(lambda: not host.member._healing.repairer.is_damaged(), DEADLINE_S, "nothing is lacking")


@pytest.mark.repeated
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_what_is_lost_in_a_segment_is_mended_where_it_is_read(
    scene: Scene,
    place: Callable[[Scene, Host, list[int]], None],
    damage: Callable[[Scene, Host, Path, int], None],
) -> None:
    indexes = scene.said()
    host = scene.follower()
    path, offset = file_of(host, indexes[2])
    if place is restart:
        host.stop()
    damage(scene, host, path, offset)
    place(scene, host, indexes)
    settled(host)
    wait_until(lambda: whole(scene, host, indexes), DEADLINE_S, "the records are on the disk again")


def whole(scene: Scene, host: Host, indexes: list[int]) -> bool:
    other = next(one for one in scene.cluster.running() if one is not host)
    try:
        return host.member._storage.own_reader.read_many(indexes) == other.member._storage.reader.read_many(indexes)
    except CorruptLog:
        return False


@pytest.mark.repeated
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", [read, scrub, backup, transfer, restart], ids=lambda place: place.__name__)
def test_what_is_lost_in_a_snapshot_is_mended_where_it_is_read(
    scene: Scene,
    place: Callable[[Scene, Host, list[int]], None],
    damage: Callable[[Scene, Host, Path, int], None],
) -> None:
    indexes = scene.said()
    host = scene.follower()
    compaction(scene, host, indexes)
    path, offset = file_of(host, indexes[2])
    assert path.name.startswith("snapshot-")
    if place is restart:
        host.stop()
    damage(scene, host, path, offset)
    place(scene, host, indexes)
    settled(host)


@pytest.mark.repeated
@pytest.mark.parametrize("damage", [bit, page], ids=lambda damage: damage.__name__)
def test_a_snapshot_whose_state_is_damaged_is_made_anew_from_the_state_in_memory(
    scene: Scene, damage: Callable[[Scene, Host, Path, int], None], caplog: pytest.LogCaptureFixture
) -> None:
    indexes = scene.said()
    host = scene.follower()
    compaction(scene, host, indexes)
    after = scene.said(1, forgets=False)
    path = host.path / f"snapshot-{indexes[-1]:015d}.jsonl"
    damage(scene, host, path, path.read_bytes().index(b"\n", 0) + 1)
    scrub(scene, host, indexes)
    settled(host)
    wait_until(lambda: host.member._storage.base_index >= after[-1], DEADLINE_S, "there is another base")
    wait_until(lambda: "made from the state in memory" in caplog.text, DEADLINE_S, "the log says so")
    base_index = host.member._storage.base_index
    path = host.path / f"snapshot-{base_index:015d}.jsonl"  # of the state as it is now: nothing is applied since
    damage(scene, host, path, path.read_bytes().index(b"\n", 0) + 1)
    scrub(scene, host, indexes)
    settled(host)
    assert host.member._storage.base_index == base_index == host.member.last_applied
    read(scene, host, indexes)


@pytest.mark.repeated
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("place", [scrub, restart], ids=lambda place: place.__name__)
def test_a_damaged_checkpoint_is_removed_and_the_state_is_had_without_it(
    scene: Scene,
    place: Callable[[Scene, Host, list[int]], None],
    damage: Callable[[Scene, Host, Path, int], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    indexes = scene.said()
    host = scene.follower()
    assert host.member._log_maintenance is not None
    host.member._log_maintenance.checkpoint()
    path = max(host.path.glob("checkpoint-*.jsonl"))
    if place is restart:
        host.stop()
        path = max(host.path.glob("checkpoint-*.jsonl"))  # the stop may have made another one
    damage(scene, host, path, 0)
    place(scene, host, indexes)
    settled(host)
    assert not path.exists() and (damage is missing or f"{path}: the checkpoint was" in caplog.text)
    read(scene, host, indexes)


def other_term(entry: Entry) -> Entry:
    made = command_entry(entry.index, entry.term + 1, entry.time, entry.id or ProposalId(1, 1, 1, 0), entry.body)
    return made if len(made.record) == len(entry.record) else entry._replace(record=b"")


LIES: dict[str, Callable[[FetchedEntries], FetchedEntries]] = {
    "nothing": lambda answer: replace(answer, entries=()),
    "another term": lambda answer: replace(answer, entries=tuple(map(other_term, answer.entries))),
    "records that are cut": lambda answer: replace(
        answer, entries=tuple(one._replace(record=one.record[:-9]) for one in answer.entries)
    ),
    "the first one only": lambda answer: replace(answer, entries=answer.entries[:1]),
    "bytes of another kind": lambda answer: replace(
        answer, entries=tuple(one._replace(record=bytes(len(one.record))) for one in answer.entries)
    ),
    "an error": lambda answer: 1 // 0,  # type: ignore[dict-item, return-value]
}


@pytest.mark.repeated
@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_not_right_is_not_believed_and_the_next_member_is_asked(
    scene: Scene, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = scene.said()
    host = scene.follower()
    liar = scene.cluster.leader()  # asked first
    answer = liar.member._healing.answer
    monkeypatch.setattr(liar.member._healing, "answer", lambda call: LIES[lie](answer(call)))
    missing(scene, host, *file_of(host, indexes[2]))
    read(scene, host, indexes)
    settled(host)
    wait_until(lambda: whole(scene, host, indexes), DEADLINE_S, "the records are on the disk again")


def test_the_same_record_that_is_lost_on_two_of_three_is_mended_on_both_from_the_third(scene: Scene) -> None:
    indexes = scene.said()
    followers = scene.cluster.followers()[:2]
    for host in followers:
        missing(scene, host, *file_of(host, indexes[2]))
    for host in followers:
        read(scene, host, indexes)
    for host in followers:
        settled(host)
        assert host.member._storage.own_reader.read_many(indexes)


def test_damage_in_the_newest_sealed_segment_holds_up_no_follower_that_catches_up_from_it(scene: Scene) -> None:
    late = scene.cluster.followers()[0]
    late.stop()
    leader = scene.cluster.leader()
    before = len(leader.memory.indexes)
    for _ in range(6):
        leader.result_of(TEXT)
    leader.member._driver.group_commit.end_segment()
    leader.result_of(TEXT)
    missing(scene, leader, *file_of(leader, leader.memory.indexes[before + 2]))
    late.start()
    wait_until(lambda: late.member.last_applied >= leader.member.last_applied, DEADLINE_S, "it has caught up")
    assert scene.cluster.leader() is leader
    read(scene, late, leader.memory.indexes[before:])
    settled(leader)


def test_an_entry_that_the_others_have_compacted_away_is_had_with_the_leaders_snapshot(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(applier, "MEND_S", 0.01)
    indexes = scene.said()
    scene.cluster.leader().result_of(b"null")
    scene.wait_applied()
    last, host = scene.cluster.leader().member.last_applied, scene.follower()
    host.stop()
    path, offset = file_of(host, indexes[2])
    bit(scene, host, path, offset)
    for checkpoint in host.path.glob("checkpoint-*"):
        checkpoint.unlink()
    for other in scene.cluster.running():
        assert other.member._log_maintenance is not None
        other.member._log_maintenance.want(last - 1)
        wait_until(lambda other=other: other.member._storage.base_index >= last, DEADLINE_S, "compacted")  # type: ignore[misc]
    host.start()
    wait_until(lambda: host.member.last_applied >= last, DEADLINE_S, "it has applied all")
    assert "it serves nobody until it has a new state" in caplog.text
    settled(host)


def test_all_members_hold_the_same_in_the_end(scene: Scene) -> None:
    scene.check_same()
    assert all(host.ended.empty() for host in scene.cluster.running())
