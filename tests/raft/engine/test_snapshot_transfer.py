"""A snapshot's file on its way: lost, doubled, reordered and damaged chunks cost chunks, and never a wrong byte."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from raft.compaction.compactor import compact
from raft.core.entries import command_entry
from raft.core.raft_messages import HardState, ProposalId, SnapshotMeta
from raft.engine.replication import STALLED_MAX, send_snapshot
from raft.engine.snapshot_transfer import IncomingSnapshots
from raft.errors import DiskFailed, InvalidMessage, RefusedPeer
from raft.rpc.calls import SnapshotChunk, SnapshotChunkReply
from raft.storage.disk import RealDisk
from raft.storage.log_store import Storage
from tests.raft.disks import HookedDisk
from tests.raft.memory import Memory

LEADER, FOLLOWER = 1, 2
ENTRIES = 300
Ask = Callable[[SnapshotChunk], SnapshotChunkReply]


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.engine.replication.CHUNK_BYTES", 2_000)


@pytest.fixture
def leader(tmp_path: Path) -> Storage:
    """A log whose first entries are in a snapshot of some fifty chunks."""
    return compacted(tmp_path / "leader", b'"x"')


@pytest.fixture
def follower(tmp_path: Path) -> Storage:
    """An empty log."""
    (tmp_path / "follower").mkdir()
    return Storage.open(RealDisk(), tmp_path / "follower")


def compacted(path: Path, command: bytes) -> Storage:
    path.mkdir()
    storage = Storage.open(RealDisk(), path)
    entries = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), command) for n in range(1, ENTRIES + 1)]
    storage.append(HardState(1, 1, ENTRIES), entries)
    storage.adopt(compact(RealDisk(), path, ENTRIES, Memory()))
    return storage


def meta_of(storage: Storage) -> SnapshotMeta:
    assert storage.snapshot is not None
    return storage.snapshot.meta


def sent(leader: Storage, ask: Ask) -> None:
    send_snapshot(leader, LEADER, FOLLOWER, meta_of(leader), ask)


def install(leader: Storage, follower: Storage, incoming: IncomingSnapshots) -> list[bytes]:
    meta = meta_of(leader)
    assert incoming.complete(LEADER, meta)
    follower.install(meta, HardState(1, 0, meta.index))
    incoming.settled(meta, True)
    indexes = range(1, ENTRIES + 1)
    assert follower.reader.read_many(indexes) == leader.reader.read_many(indexes)
    found = follower.documents(meta.index)
    assert found is not None
    return list(found.lines)


def test_a_snapshot_arrives_in_chunks_of_whole_lines(leader: Storage, follower: Storage) -> None:
    incoming, chunks = IncomingSnapshots(follower), list[SnapshotChunk]()

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        chunks.append(chunk)
        return incoming.take(chunk)

    sent(leader, ask)
    assert chunks[0].lines == b"" and len(chunks) > 10
    assert all(len(chunk.lines) <= 2_000 and chunk.lines.endswith(b"\n") for chunk in chunks[1:])
    assert len(install(leader, follower, incoming)) == ENTRIES + 1  # the sessions, and a line for each command


@pytest.mark.parametrize("seed", range(20))
def test_lost_doubled_reordered_and_damaged_chunks_change_nothing(
    seed: int, leader: Storage, follower: Storage
) -> None:
    rng, incoming, earlier = Random(seed), IncomingSnapshots(follower), list[SnapshotChunk]()

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        """Before it arrives what was sent earlier may; it may be damaged on its way, or get lost with its answer."""
        earlier.append(chunk)
        for _ in range(rng.choice([0, 0, 1, 2])):
            incoming.take(rng.choice(earlier))
        if rng.random() < 0.2 and chunk.lines:
            at = rng.randrange(len(chunk.lines))
            damaged = chunk.lines[:at] + bytes([chunk.lines[at] ^ (1 << rng.randrange(8))]) + chunk.lines[at + 1 :]
            with suppress(InvalidMessage):  # it has come undamaged before, in a copy
                incoming.take(replace(chunk, lines=damaged))
            raise ConnectionError("refused")
        if rng.random() < 0.1:
            raise ConnectionError("lost")
        reply = incoming.take(chunk)
        if rng.random() < 0.1:
            raise ConnectionError("the answer is lost")
        return reply

    for _ in range(1_000):
        try:
            sent(leader, ask)
        except ConnectionError:
            continue
        break
    install(leader, follower, incoming)


def test_a_transfer_that_broke_off_goes_on_where_it_stopped(leader: Storage, follower: Storage) -> None:
    incoming, taken = IncomingSnapshots(follower), list[int]()

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        if len(taken) == 7:
            taken.append(0)
            raise ConnectionError("the sender dies midway")
        taken.append(len(chunk.lines))
        return incoming.take(chunk)

    with pytest.raises(ConnectionError):
        sent(leader, ask)
    sent(leader, ask)
    assert leader.snapshot is not None and sum(taken) == leader.snapshot.bytes
    install(leader, follower, incoming)


def test_another_senders_snapshot_begins_anew(leader: Storage, follower: Storage, tmp_path: Path) -> None:
    incoming = IncomingSnapshots(follower)
    other = compacted(tmp_path / "other", b'"y"')  # as long, to the byte, and not the same
    lines = other.read_snapshot(other.snapshot, 0, 2_000) if other.snapshot else b""
    bytes_total = other.snapshot.bytes if other.snapshot else 0
    assert incoming.take(SnapshotChunk(3, FOLLOWER, ENTRIES, 1, bytes_total, 0, lines)).offset == len(lines)
    sent(leader, incoming.take)
    install(leader, follower, incoming)


def test_what_is_not_complete_is_not_installed(leader: Storage, follower: Storage) -> None:
    incoming, meta = IncomingSnapshots(follower), meta_of(leader)
    assert not incoming.complete(LEADER, meta)

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        if chunk.offset > 5_000:
            raise ConnectionError("lost")
        return incoming.take(chunk)

    with pytest.raises(ConnectionError):
        sent(leader, ask)
    assert not incoming.complete(LEADER, meta)
    sent(leader, incoming.take)
    assert not incoming.complete(3, meta), "not from that member"
    assert incoming.complete(LEADER, meta)


def test_while_one_is_installed_no_other_is_begun(leader: Storage, follower: Storage) -> None:
    incoming, meta = IncomingSnapshots(follower), meta_of(leader)
    sent(leader, incoming.take)
    assert incoming.complete(LEADER, meta)
    another = SnapshotChunk(3, FOLLOWER, ENTRIES + 5, 2, 10_000, 0, b"")
    with pytest.raises(RefusedPeer):
        incoming.take(another)
    incoming.settled(meta, False)  # the Node had no use for it
    assert incoming.take(another).offset == 0


def test_a_follower_that_takes_nothing_is_not_asked_for_ever(leader: Storage) -> None:
    asked: list[int] = []

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        asked.append(chunk.offset)
        return SnapshotChunkReply(0)

    with pytest.raises(ConnectionError):
        sent(leader, ask)
    assert len(asked) == STALLED_MAX + 2


def test_a_snapshot_that_was_replaced_meanwhile_is_not_sent(leader: Storage) -> None:
    older = SnapshotMeta(1, 1, 1, 0, b"{}")
    with pytest.raises(LookupError):
        send_snapshot(leader, LEADER, FOLLOWER, older, lambda chunk: SnapshotChunkReply(0))


def test_a_disk_that_was_full_for_a_moment_has_the_snapshot_begun_anew(leader: Storage, tmp_path: Path) -> None:
    full = False

    def hook(operation: str, path: Path) -> None:
        if full and operation == "append":
            raise OSError("No space left on device")

    (tmp_path / "follower").mkdir()
    follower = Storage.open(HookedDisk(hook), tmp_path / "follower")
    incoming = IncomingSnapshots(follower)
    chunks = 0

    def ask(chunk: SnapshotChunk) -> SnapshotChunkReply:
        nonlocal chunks, full
        chunks += 1
        full = chunks == 5
        return incoming.take(chunk)

    with pytest.raises(DiskFailed, match="No space left"):
        sent(leader, ask)
    sent(leader, ask)
    assert install(leader, follower, incoming)
