"""Random lives of a log with snapshots, against a plain list: compaction, installation, kills and cuts of the power.

The disk is one in memory.  A cut may come at any operation of any step; what a start finds must be the log from before
the step or the one after it (of a batch, any part of its entries), and what was acknowledged must be in it.
"""

from dataclasses import dataclass, field, replace
from errno import ENOSPC
from os import strerror
from random import Random

import pytest

from raft.compaction.compactor import compact
from raft.core.raft_messages import Entry, HardState, SnapshotMeta
from raft.engine.state_machine import Replicated
from raft.errors import DiskFailed, DiskFull
from raft.storage.disk import NoRoom
from raft.storage.file_names import snapshot_name
from raft.storage.file_set import LINGER_S
from raft.storage.log_store import Storage
from tests.raft.checkpoints import written_checkpoint
from tests.raft.disks import entry, written
from tests.raft.life import found_on, found_without_indexes
from tests.raft.power import PowerDisk, killed_after
from tests.raft.storage.test_snapshots import DIRECTORY
from tests.raft.words import Words, live_after

KINDS = ("append", "append", "append", "compact", "compact", "install", "checkpoint", "index", "sweep", "restart")
STEPS = 25
UNCUT = 1000  # operations that no step has


@dataclass
class Model:
    """What the storage must hold."""

    log: list[Entry] = field(default_factory=list)  # all of it, that which was compacted away too
    base_index: int = 0
    live: list[int] = field(default_factory=list)  # of the entries up to the base
    committed: int = 0
    written: HardState = field(default_factory=HardState)  # as given, durable

    def rebased(self, log: list[Entry], index: int) -> "Model":
        """On a snapshot of this log, which what follows it continues."""
        return replace(self, log=log, base_index=index, live=live_after(log[:index]))


class Life:
    """One storage and what it must be."""

    def __init__(self) -> None:
        self.disk = PowerDisk()
        self.now_s = 0.0
        self.term = 1
        self.model = Model()
        self.storage = self.open()

    def open(self) -> Storage:
        return Storage.open(self.disk, DIRECTORY, segment_bytes=1060)

    def step(self, what: str, a: int, b: int, cut_after: int) -> None:
        """Do something, or begin to; then what is found must be one of the models it may have come to."""
        act, outcomes = getattr(self, f"_{what}")(a, b)
        if killed_after(cut_after, self.disk, act):
            self.disk = self.disk.cut(Random(a * 31 + b))
            self.restart(outcomes)
        else:
            self.model = outcomes[-1]
        check(self.disk, self.storage, self.model)

    def restart(self, outcomes: list[Model]) -> None:
        self.storage = self.open()
        found = self.storage.recovered
        fitting = [model for model in outcomes if is_found(self.storage, model)]
        assert fitting, f"none of the {len(outcomes)} logs it may be"
        self.model = fitting[-1]
        assert self.model.base_index <= found.hard_state.commit_index <= self.model.committed
        assert vote(found.hard_state) in (vote(outcomes[0].written), vote(outcomes[-1].written))
        self.model = replace(self.model, written=found.hard_state)

    def _append(self, a: int, b: int):  # type: ignore[no-untyped-def]
        model = self.model
        self.term += 1
        first = max(model.committed + 1, len(model.log) + 1 - a % 5)
        batch = [
            entry(index, self.term, f"w{(index * b) % 6}" + "x" * (b * 20)) for index in range(first, first + b % 7)
        ]
        committed = min(model.committed + a % 9, first - 1 + len(batch) if batch else len(model.log))
        hard_state = HardState(self.term, a % 4, max(committed, model.committed))
        after = replace(model, committed=hard_state.commit_index, written=hard_state)
        logs = [written(model.log, batch[:count]) for count in range(len(batch) + 1)]
        # Torn, more may have been committed before than the log still tells.
        torn = [replace(after, log=log, committed=min(after.committed, len(log))) for log in logs]
        return lambda: self.storage.append(hard_state, batch), [model, *torn]

    def _compact(self, a: int, b: int):  # type: ignore[no-untyped-def]
        model = self.model
        index = model.committed - a % 4
        if index <= model.base_index:
            return lambda: None, [model]
        outcomes = [model, model.rebased(model.log, index)]
        return lambda: self.storage.adopt(compact(self.disk, DIRECTORY, index, Words())), outcomes

    def _checkpoint(self, a: int, b: int):  # type: ignore[no-untyped-def]
        model = self.model
        if model.committed <= model.base_index:
            return lambda: None, [model]

        def act() -> None:
            written_checkpoint(self.storage, model.committed, Words())

        return act, [model]

    def _install(self, a: int, b: int):  # type: ignore[no-untyped-def]
        """Of a leader whose log is another one after what is committed here."""
        model = self.model
        self.term += 1
        index = model.committed + 1 + a % 12
        other = [*model.log[: model.committed]]
        other += [entry(one, self.term, f"w{one * b % 5}") for one in range(len(other) + 1, index + 1)]
        data, meta = leaders_snapshot(other)
        hard_state = HardState(self.term, b % 4, index)
        after = replace(model.rebased(other, index), committed=index, written=hard_state)

        def act() -> None:
            receiver = self.storage.receive(index, self.term, len(data))
            receiver.write(0, data)
            assert receiver.finish() == meta
            self.storage.install(meta, hard_state)

        return act, [model, after]

    def _index(self, a: int, b: int):  # type: ignore[no-untyped-def]
        return self.storage.keep_indexes, [self.model]

    def _sweep(self, a: int, b: int):  # type: ignore[no-untyped-def]
        def act() -> None:
            for _ in range(2):
                self.now_s += LINGER_S
                self.storage.sweep(self.now_s)

        return act, [self.model]

    def _restart(self, a: int, b: int):  # type: ignore[no-untyped-def]
        def act() -> None:
            if b % 2:
                self.storage.close()
            self.restart([self.model])

        return act, [self.model]


def vote(hard_state: HardState) -> tuple[int, int]:
    return hard_state.current_term, hard_state.voted_for


def leaders_snapshot(log: list[Entry]) -> tuple[bytes, SnapshotMeta]:
    disk = PowerDisk()
    storage = Storage.open(disk, DIRECTORY)
    storage.append(HardState(log[-1].term, 0, len(log)), log)
    meta = compact(disk, DIRECTORY, len(log), Words())
    return disk.content()[snapshot_name(len(log))], meta


def is_found(storage: Storage, model: Model) -> bool:
    base_index = storage.snapshot.meta.index if storage.snapshot else 0
    if (base_index, storage.last_index) != (model.base_index, len(model.log)):
        return False
    above = list(storage.reader.replay(base_index + 1, storage.last_index))
    return above == model.log[base_index:]


def check(disk: PowerDisk, storage: Storage, model: Model) -> None:
    assert is_found(storage, model)
    assert storage.entry_count == len(model.live) + len(model.log) - model.base_index
    assert storage.reader.read_many(model.live) == [model.log[index - 1].record for index in model.live]
    if storage.snapshot is not None:
        assert storage.snapshot.meta.term == model.log[model.base_index - 1].term
    state = Replicated(Words())
    document = storage.documents(len(model.log))
    if document is not None:
        assert model.base_index <= document.meta.index <= model.committed
        state.restore(document.meta, document.lines)
    for one in storage.reader.replay(state.meta.index + 1, storage.last_index):
        state.apply(one)
    expected = Replicated(Words())
    for one in model.log:
        expected.apply(one)
    assert list(state.document()) == list(expected.document())
    assert found_on(disk) == found_without_indexes(disk)


@pytest.mark.repeated
@pytest.mark.parametrize("seed", range(60))
def test_a_log_on_snapshots_is_a_list_whatever_is_done_to_it(seed: int) -> None:
    rng, life = Random(seed), Life()
    for _ in range(STEPS):
        cut_after = rng.choice([UNCUT, rng.randrange(30)])
        life.step(rng.choice(KINDS), rng.randrange(31), rng.randrange(31), cut_after)


class FullDisk:
    """As a hook of the disk: it is full from its Nth operation that needs room on."""

    NEED_ROOM = ("create", "append", "append the rest")

    def __init__(self, operations: int) -> None:
        self._left = operations

    def __call__(self, operation: str, name: str) -> None:
        if operation in self.NEED_ROOM:
            self._left -= 1
            if self._left < 0:
                raise NoRoom(ENOSPC, strerror(ENOSPC), name)


class FullLife(Life):
    """A life on a disk that is full now and then."""

    refused = 0

    def step_on_full(self, what: str, a: int, b: int, operations: int, then: str) -> None:
        """Do something on a disk that is about to be full; then have room again, or lose power."""
        act, outcomes = getattr(self, f"_{what}")(a, b)
        self.disk.hook = FullDisk(operations)
        try:
            act()
        except (DiskFull, DiskFailed, OSError):  # a snapshot that comes in, or is made, may find no room either
            self.refused += 1
            assert is_found(self.storage, self.model), "what finds no room changes nothing"
        else:
            then = "go on"
        self.disk.hook = lambda operation, name: None
        if then == "cut":
            self.disk = self.disk.cut(Random(a * 31 + b))
            self.restart(outcomes)
        elif then == "try again":
            act()
            self.model = outcomes[-1]
        elif then == "go on":
            self.model = outcomes[-1]
        else:  # another batch comes in its place
            act, outcomes = self._append(b, a)
            act()
            self.model = outcomes[-1]
        check(self.disk, self.storage, self.model)


@pytest.mark.repeated
@pytest.mark.parametrize("seed", range(30))
def test_a_log_on_a_disk_that_is_full_now_and_then_is_a_list_too(seed: int) -> None:
    rng, life = Random(seed), FullLife()
    for _ in range(STEPS):
        what, a, b = rng.choice(["append", "append", "install", "compact"]), rng.randrange(31), rng.randrange(31)
        if rng.random() < 0.5:
            then = rng.choice(["cut", "try again", "another"])
            # An installation is tried until there is room: nothing else is written before it.
            then = "try again" if what == "install" and then == "another" else then
            life.step_on_full(what, a, b, rng.randrange(5), then)
        else:
            life.step(what, a, b, rng.choice([UNCUT, UNCUT, rng.randrange(30)]))
    assert life.refused
