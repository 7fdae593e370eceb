"""The power fails anywhere within a repair: at each write, sync, rename and removal that a start and its repairs make.

    python -m tests.raft.repair.power_walk             # each operation of each scene, each cut's start killed as well

A scene is a log whose files are damaged.  A session starts on it, finds what is lost, has it mended in two parts from
another member, makes a base anew whose state is lost, makes indexes, and removes what was replaced.  It is killed at
its Nth operation on the disk, and the power is cut: of what was not synced anything may be left.  Then the directory
must open.  Each entry that was acknowledged is there as it was, or is known to be lost, and comes back; no other record
is ever read.  What a repair has said to be mended stays mended.
"""

import sys
from array import array
from collections.abc import Callable
from random import Random
from typing import cast

from raft.engine.applier import Applier
from raft.errors import CorruptLog
from raft.repair.base_renewal import renew_base
from raft.storage.file_names import checkpoint_name, index_name, indexed_by, segment_name, snapshot_name
from raft.storage.file_set import LINGER_S
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Document
from tests.raft.power import PowerDisk, killed_after
from tests.raft.storage.test_sealed_files import DIRECTORY, LIVE, LOG, damages, harmed, records, written_log
from tests.raft.storage.test_snapshots import DOCUMENT, checkpointed, compacted, meta_of

BASE, BASE_INDEX = snapshot_name(26), 26
LAST = len(LOG)
LIVE_AT_THE_END = [3, 13, 25, 29, 31, 44, 60]
OPERATIONS_MAX = 1_000
CUTS = 3  # of the power after each kill: what is left is drawn
Damage = Callable[[PowerDisk], None]


def _zeros(name: str, record: bytes, length: int = 0) -> Damage:
    def damage(disk: PowerDisk) -> None:
        data = disk.content()[name]
        start = data.index(record) + min(12, len(record) // 2)
        disk.write(DIRECTORY / name, harmed(data, "zeros", start, length or len(record) - 20))

    return damage


def _record(name: str, index: int, length: int = 0) -> Damage:
    return _zeros(name, LOG[index - 1].record, length)


def adopted_at_the_end(disk: PowerDisk) -> None:
    """Make all of the log a snapshot."""
    Storage.open(disk, DIRECTORY).adopt(compacted(disk, DIRECTORY, LOG, LAST, LIVE_AT_THE_END))


def _gone(name: str) -> Damage:
    return lambda disk: disk.remove(DIRECTORY / name)


def _short(name: str, share: float) -> Damage:
    def damage(disk: PowerDisk) -> None:
        data = disk.content()[name]
        disk.write(DIRECTORY / name, data[: int(len(data) * share)])

    return damage


def _first_line(name: str) -> Damage:
    return lambda disk: disk.write(DIRECTORY / name, harmed(disk.content()[name], "zeros", 20, 30))


def _last_line(name: str) -> Damage:
    def damage(disk: PowerDisk) -> None:
        data = disk.content()[name]
        disk.write(DIRECTORY / name, harmed(data, "zeros", len(data) - 20, 10))

    return damage


def _no_indexes(disk: PowerDisk) -> None:
    for name in filter(indexed_by, disk.content()):
        disk.remove(DIRECTORY / name)


SECOND, THIRD, FOURTH, FIFTH = (segment_name(*one) for one in ((2, 21), (3, 36), (4, 51), (5, 61)))

SCENES: dict[str, tuple[Damage, ...]] = {
    "records of two segments": (_record(SECOND, 29), _record(THIRD, 40)),
    "records that no index knows": (_no_indexes, _record(SECOND, 30, 300), _record(THIRD, 42, 200)),
    "a segment that is gone": (_gone(THIRD),),
    "a segment that is gone with its index": (_gone(THIRD), _gone(index_name(THIRD))),
    "a short segment and a header": (_short(SECOND, 0.4), _first_line(THIRD)),
    "a header that no index has": (_gone(index_name(THIRD)), _first_line(THIRD)),
    "two segments in a row": (_gone(THIRD), _gone(FOURTH), _gone(index_name(FOURTH))),
    "what nobody needs": (_zeros(SECOND, b"never", 1), _zeros(THIRD, b"never", 1)),
    "entries of the snapshot": (_record(BASE, 13), _record(BASE, 21)),
    "the snapshot's own lines": (_first_line(BASE), _last_line(BASE)),
    "a snapshot that is gone": (_gone(BASE),),
    "the snapshot's state": (_zeros(BASE, DOCUMENT[1], 3), _record(BASE, 8)),
    "the state of a snapshot after which nothing came": (
        adopted_at_the_end,
        _zeros(snapshot_name(LAST), DOCUMENT[1], 3),
        _record(snapshot_name(LAST), 44),
    ),
    "an entry of the newest segment": (_gone(FIFTH), _gone(index_name(FOURTH)), _record(FOURTH, 52)),
    "indexes": (_gone(index_name(SECOND)), _first_line(index_name(THIRD)), _short(index_name(BASE), 0.5)),
    "a checkpoint, and an entry that it covers": (
        lambda disk: checkpointed(disk, DIRECTORY, LOG, 50),
        _last_line(checkpoint_name(50)),
        _record(THIRD, 45),
    ),
}


def damaged(scene: str) -> PowerDisk:
    """The disk of a scene."""
    disk = PowerDisk()
    written_log(disk, DIRECTORY)
    disk.settle()
    for damage in SCENES[scene]:
        damage(disk)
    disk.settle()
    return disk


def copy_of(disk: PowerDisk) -> PowerDisk:
    """A disk with the same files, all synced."""
    copy = PowerDisk()
    for name, data in disk.content().items():
        copy.write(DIRECTORY / name, data)
    return copy


def live_in(storage: Storage) -> list[int]:
    """The entries that the log holds: those live in its base, and all above it."""
    base_index = storage.base_index
    return [*(LIVE if base_index == BASE_INDEX else LIVE_AT_THE_END), *range(base_index + 1, LAST + 1)]


class _Applier:
    """The state in memory, for a renewal of the base."""

    def document_and_live(self) -> "tuple[Document, array[int]]":
        return Document(meta_of(LOG, LAST), iter(DOCUMENT)), array("Q", LIVE_AT_THE_END)


def _has_state(storage: Storage) -> bool:
    """Return whether the newest state document is sound; the lines of a wrong one are an error."""
    try:
        found = storage.documents(LAST)
        lines = list(found.lines) if found else []
    except CorruptLog:
        return False
    if found is not None:
        assert lines == (DOCUMENT if found.meta.index != 50 else [b'{"sessions":[]}', b'{"at":50}'])
    return found is not None


def heal(storage: Storage) -> list[int]:
    """Find what is lost and mend it, as the threads of a member do; return what was said to be mended."""
    found = damages(storage.verify())
    names = {index for damage in found for index in damage.indexes} | {index for index, _ in storage.holes()}
    lost = sorted(names)
    mended = set[int]()
    for part in (lost[1::2], lost):  # after the first part there is still damage in the same file
        if part:
            mended |= storage.mend(records(part))
    storage.keep_indexes()
    is_base_lost = any(damage.file.endswith((BASE, snapshot_name(LAST))) and not damage.indexes for damage in found)
    if is_base_lost or not _has_state(storage):
        renew_base(storage, cast(Applier, _Applier()), lambda indexes: [*records(indexes).values()], lambda: None)
    assert {index for index in mended if index > storage.base_index or index in live_in(storage)} <= set(
        _sound(storage)
    )
    return sorted(mended)


def _session(disk: PowerDisk, said: list[int]) -> None:
    storage = Storage.open(disk, DIRECTORY)
    said += heal(storage)
    storage.sweep(0.0)
    storage.sweep(LINGER_S)
    storage.close()


def _sound(storage: Storage) -> list[int]:
    """The entries that can be read.  AssertionError: one of them is not what was written."""
    found, named = [], set[int]()
    for index in live_in(storage):
        try:
            assert storage.reader.read_many([index]) == [LOG[index - 1].record], f"a wrong entry {index}"
            found.append(index)
        except CorruptLog as damage:
            named.update(damage.indexes)
    assert {*found, *named} >= set(live_in(storage)), "damage that does not name its entry"
    return found


def check(disk: PowerDisk, said: list[int]) -> None:
    """Start on what a cut has left: nothing is wrong, what is lost is known, and all of it comes back for good."""
    storage = Storage.open(disk, DIRECTORY)
    state = storage.recovered.hard_state
    assert storage.base_index in (BASE_INDEX, LAST)
    assert (storage.last_index, state.current_term, state.voted_for) == (LAST, LOG[-1].term, 1)
    above = range(storage.base_index + 1, LAST + 1)
    assert [storage.term_of(index) for index in above] == [LOG[index - 1].term for index in above]
    sound = set(_sound(storage))
    back = [index for index in said if index in live_in(storage) and index not in sound]
    assert not back, f"entries {back} were mended, and are damaged again"
    assert {index for index, _ in storage.holes()}.isdisjoint(sound)
    heal(storage)
    heal(storage)  # what nobody needs is written anew by the first one, its index by the second
    assert damages(storage.verify()) == []
    for has_indexes in (True, False):
        again = disk.cut(Random(1))
        if not has_indexes:
            _no_indexes(again)
        storage = Storage.open(again, DIRECTORY)
        assert _sound(storage) == live_in(storage)
        assert _has_state(storage)
        assert storage.recovered.reports == ()
        storage.keep_indexes()
        assert damages(storage.verify()) == []


class Walk:
    """The walk over one scene; a content that a cut leaves is checked once."""

    def __init__(self, scene: str) -> None:
        self._disk = damaged(scene)
        self._checked = set[tuple[frozenset[tuple[str, bytes]], tuple[int, ...]]]()
        self.operations = 0
        self.starts = 0  # that were checked

    def run(self, first: int = 0, every: int = 1, *, kills_starts: bool = False) -> None:
        """Kill the session at each operation, or at every Nth from `first` on; `kills_starts`: each start too."""
        operation = first
        while self._cut_at(operation, kills_starts):
            operation += every
            assert operation < OPERATIONS_MAX, "the session never ends"
        self.operations = operation

    def _cut_at(self, operation: int, kills_starts: bool) -> bool:
        disk, said = copy_of(self._disk), list[int]()
        is_killed = killed_after(operation, disk, _session, disk, said)
        for seed in range(CUTS):
            self._check(disk.cut(Random(seed)), said, kills_starts)
        return is_killed

    def _check(self, found: PowerDisk, said: list[int], kills_start: bool) -> None:
        key = frozenset(found.content().items()), tuple(said)
        if key in self._checked:
            return
        self._checked.add(key)
        self.starts += 1
        plain = copy_of(found)
        check(found, said)
        operation = 0
        while kills_start:
            again, mended = copy_of(plain), list(said)
            kills_start = killed_after(operation, again, _session, again, mended)
            self._check(again.cut(Random(operation)), mended, False)
            operation += 1


if __name__ == "__main__":
    for name in SCENES:
        walk = Walk(name)
        walk.run(kills_starts=True)
        sys.stdout.write(f"{name}: {walk.operations} operations, {walk.starts} starts checked\n")
