"""Disks that rot: bits, pages, ends and whole files go bad in what a member does not append to any more.

The promise that is held against it: as long as each entry that is hit has a sound copy on another member of the
cluster, nothing that was acknowledged is lost, no wrong or damaged record is shown, sent or applied, and in the end,
with the network whole, each file is mended or replaced and each record is the one that was there, byte for byte.

So a strike is made only where another member, that is up, could send each entry which is hit there and then.  What
must not be taken away from the others then, a majority for good, is not: no disk is lost and no member is removed as
long as something is damaged.  Of the state documents in the snapshots, which no other disk has in the same bytes, one
member's is damaged at a time.  A start may be refused where it is not certain what is lost: then the operator brings
the files back as they were, as from a copy.  All is drawn apart from the other faults, in lives of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from raft.errors import CorruptLog, RaftError
from raft.repair.fetching import in_order
from raft.storage.file_names import index_name, sequence_of
from raft.storage.positions import unpack
from tests.simulation.disk import Content, Extent
from tests.simulation.healing import sound_indexes
from tests.simulation.invariants import Violation
from tests.simulation.machine import DIRECTORY
from tests.simulation.scenario import Scenario

if TYPE_CHECKING:
    from tests.simulation.machine import Machine
    from tests.simulation.process import Process
    from tests.simulation.world import World

FIRST_SEED, EVERY, THIS = 1_000, 4, 2  # the lives in which disks rot
EVERY_MS = 250.0  # mean
ONE_MEMBER = 0.4  # of these lives: only one member is damaged at a time
CRASHES = 0.3  # strikes after which the process is soon gone: a start finds the damage first
SCRUBS = 0.3  # strikes after which an operator has that member scrubbed
LOOK_EVERY_MS = 50.0
MENDED_MS = 40_000.0  # within which all is mended once the network is whole
SCRUB_EVERY_MS = 4_000.0
KINDS = ("bit", "bit", "bit", "page", "page", "cut", "lost", "unreadable", "index", "index lost")
SURE = "may have changed who the members are"  # why a start may be refused


def rots(seed: int) -> bool:
    """Return whether the disks of this seed's life rot."""
    return seed >= FIRST_SEED and seed % EVERY == THIS


def with_rot(seed: int, scenario: Scenario) -> Scenario:
    """The scenario; no disk is rolled back where disks rot."""
    return replace(scenario, records_starts=False) if rots(seed) else scenario


@dataclass(slots=True, eq=False)
class _Strike:
    """The strike on one file."""

    machine: "Machine"
    name: str
    content: Content
    data: bytes  # as it was
    indexes: tuple[int, ...]  # of the entries that are hit
    has_document: bool  # the state, header or end of a snapshot is hit
    is_lost: bool  # the file itself is gone


class Rot:
    """Of one world."""

    def __init__(self, world: "World") -> None:
        self.is_on = rots(world.seed) and world.scenario.size >= 2
        self._world = world
        self._rng = Random(f"{world.seed} rot")
        self._one_member = self._rng.random() < ONE_MEMBER
        self._strikes: list[_Strike] = []
        self._struck: set[tuple[int, str]] = set()  # member and file, all there ever were
        self._stopped = False

    def start(self) -> None:
        """The first one comes soon."""
        if self.is_on:
            self._world.schedule.after(self._rng.expovariate(1.0) * EVERY_MS, self._strike)

    def stop(self) -> None:
        """No more of it."""
        self._stopped = True

    # What is damaged

    def outstanding(self) -> list[_Strike]:
        """Those that are neither mended nor replaced."""
        self._strikes = [strike for strike in self._strikes if self._is_outstanding(strike)]
        return self._strikes

    def _is_outstanding(self, strike: _Strike) -> bool:
        machine = strike.machine
        if machine.wiped or machine.removed:
            return False
        found = machine.disk.content_of(strike.name)
        process = machine.process
        if process is None:
            return True
        counts = process.storage.file_names()
        if strike.name not in counts and strike.name not in map(index_name, counts):
            return False  # replaced
        is_anew = found is not None and found is not strike.content
        return not is_anew or not self._can_read(process, strike.indexes)

    @staticmethod
    def _can_read(process: "Process", indexes: Sequence[int]) -> bool:
        """Return whether these entries are sound in that member's log, or not in it any more."""
        return in_order(process.storage.reader, indexes) == set(indexes)

    @property
    def is_damaged(self) -> bool:
        """Return whether anything is, so that nothing may be taken away from the others."""
        return self.is_on and bool(self.outstanding())

    def is_rotten(self, machine: "Machine") -> bool:
        """Return whether something of this member is damaged."""
        return any(strike.machine is machine for strike in self.outstanding())

    def met(self, process: "Process", damage: CorruptLog) -> None:
        """Raise Violation if the engine finds damage where none was done."""
        name = Path(damage.file).name if damage.indexes else DIRECTORY.name  # other damage may show in a neighbour
        if (process.id, name) not in self._struck:
            raise Violation("nothing durable is lost", f"member {process.id} finds damage where none is: {damage}")

    def start_refused(self, machine: "Machine", error: RaftError) -> bool:
        """The operator brings the files back where a start is rightly refused; whether it was."""
        strikes = [strike for strike in self.outstanding() if strike.machine is machine]
        if not strikes or not isinstance(error, CorruptLog):
            return False
        self._world.counts["starts refused for damage"] += 1
        self._world.trace(f"{machine.id} is refused a start: {error}")
        for strike in reversed(strikes):  # the first one knows the file as it was
            self._undo(strike)
        return True

    def _undo(self, strike: _Strike) -> None:
        content = strike.machine.disk.content_of(strike.name)
        if content is None:
            content = strike.content
            strike.machine.disk.bring_back(strike.name, content)
        content.data[: len(strike.data)] = strike.data
        content.synced = max(content.synced, len(strike.data))
        content.unreadable.clear()
        self._strikes.remove(strike)

    # Strikes

    def _strike(self) -> None:
        if self._stopped:
            return
        self._world.schedule.after(self._rng.expovariate(1.0) * EVERY_MS, self._strike)
        process = self._victim()
        if process is None:
            return
        kind = self._rng.choice(KINDS)
        names = sorted(process.storage.file_names() - {process.storage.newest_segment})
        if not names:
            return
        name = self._rng.choice(names)
        damaged = [strike for strike in self.outstanding() if strike.machine is process.machine]
        if any(strike.name.split(".")[0] == name.split(".")[0] for strike in damaged):
            return  # of the file and its index one at a time
        if not self._hit(process, name, kind):
            return
        chance = self._rng.random()
        if chance < CRASHES:
            down_ms = self._rng.uniform(10, 400)
            self._world.schedule.after_for(process, self._rng.random() * 30, self._crash, process, down_ms)
        elif chance < CRASHES + SCRUBS and process.healing is not None:
            process.schedule(self._rng.random() * 100, process.healing.engine.scrub.begin)

    def _crash(self, process: "Process", down_ms: float) -> None:
        if not self._stopped and process.alive:
            self._world.crash(process, power=self._rng.random() < 0.5, down_ms=down_ms)

    def _victim(self) -> "Process | None":
        """A member that is up, while no change of the members is under way."""
        running = list(self._world.network.running.values())
        nodes = [process.node for process in running]
        if len(running) < 2 or any(node.configuration_index > node.commit_index for node in nodes):
            return None
        victims = [process for process in running if process.id in process.node.configuration.members]
        if self._one_member and (strikes := self.outstanding()):
            victims = [process for process in victims if process.machine is strikes[0].machine]
        return self._rng.choice(victims) if victims else None

    def _hit(self, process: "Process", name: str, kind: str) -> bool:
        disk, rng = process.machine.disk, self._rng
        is_index = kind.startswith("index")
        target = index_name(name) if is_index else name
        content = disk.content_of(target)
        if content is None or not content.data or (not is_index and content.synced < len(content.data)):
            return False
        is_lost = kind in ("lost", "index lost")
        if is_lost and not disk.names_are_durable:
            return False
        size = min(len(content.data), self._counted_bytes(process, name)) if not is_index else len(content.data)
        if kind in ("bit", "index"):
            at = rng.randrange(size)
            extent = at, at + 1
        elif kind in ("page", "unreadable"):
            page = self._world.scenario.page_bytes
            at = rng.randrange(size) // page * page
            extent = at, min(at + page, size)
        elif kind == "cut":
            extent = rng.randrange(size), size
        else:
            extent = 0, size
        has_document, hit = False, list[Extent]()
        if not is_index:
            hit = list(self._entries_in(process, name, extent))
            has_document = not sequence_of(name) and self._hits_document(process, extent)
            if not self._others_have(process, [index for index, _ in hit]):
                return False
            if has_document and any(one.has_document for one in self.outstanding()):
                return False
        indexes = tuple(index for index, _ in hit)
        strike = _Strike(process.machine, target, content, bytes(content.data), indexes, has_document, is_lost)
        self._strikes.append(strike)
        self._struck |= {(process.id, name), (process.id, DIRECTORY.name)}
        self._do(process, strike, kind, extent)
        self._world.counts[f"rot: {kind}"] += 1
        self._world.trace(f"{kind} of {target} of {process.id} goes bad at {extent}")
        return True

    def _do(self, process: "Process", strike: _Strike, kind: str, extent: Extent) -> None:
        (start, end), content = extent, strike.content
        if strike.is_lost:
            process.machine.disk.lose(strike.name)
        elif kind in ("bit", "index"):
            content.data[start] ^= 1 << self._rng.randrange(8)
        elif kind == "page":
            content.data[start:end] = bytes(end - start)
        elif kind == "unreadable":
            content.unreadable.append(extent)
        else:
            del content.data[start:]
            content.synced = len(content.data)

    @staticmethod
    def _counted_bytes(process: "Process", name: str) -> int:
        """Return how much of a file counts: what a crash left behind its end is nothing."""
        storage: Any = process.storage
        sealed = storage._segments.sealed.get(name)
        return sealed.end if sealed is not None else 1 << 60

    @staticmethod
    def _entries_in(process: "Process", name: str, extent: Extent) -> Iterator[Extent]:
        """(index, offset) of the entries whose bytes this may touch."""
        storage: Any = process.storage
        files, positions = storage._files, storage._positions
        slot = next(slot for slot, each, _ in files.counted() if each == name)
        if sequence_of(name):
            first, last = positions.base_index + 1, positions.last_index
            found = list(enumerate(positions.get_range(first, last), first)) if last >= first else []
        else:
            found = list(zip(positions.sparse.indexes, positions.get_many(positions.sparse.indexes), strict=True))
        mine = [(index, unpack(position)[1]) for index, position in found if unpack(position)[0] == slot]
        ends = [offset for _, offset in mine[1:]] + [1 << 60]
        for (index, offset), end in zip(mine, ends, strict=False):
            if offset < extent[1] and extent[0] < end:
                yield index, offset

    @staticmethod
    def _hits_document(process: "Process", extent: Extent) -> bool:
        """Return whether it touches what is not an entry of a snapshot."""
        storage: Any = process.storage
        base = storage._files.base
        return bool(extent[0] < storage._positions.first_offset(base.bytes) or extent[1] > base.bytes - 100)

    def _others_have(self, process: "Process", indexes: Sequence[int]) -> bool:
        members = process.node.configuration.members
        others = [other for id, other in self._world.network.running.items() if id in members and other is not process]
        lacking = set(indexes)
        for other in others:
            if other.healing is not None and other.alive:
                lacking -= sound_indexes(other, sorted(lacking))
        return not lacking

    # The end

    def must_be_mended(self) -> None:
        """All is mended, and what can be read is what was written.  Raises Violation."""
        if not self.is_on:
            return
        schedule = self._world.schedule
        deadline_ms, scrub_ms = schedule.now_ms + MENDED_MS, schedule.now_ms
        while self.outstanding() or not self._all_sound():
            if schedule.now_ms >= deadline_ms:
                raise Violation("mended", f"not mended: {self._standing()}")
            if schedule.now_ms >= scrub_ms:
                scrub_ms = schedule.now_ms + SCRUB_EVERY_MS
                for process in self._world.network.running.values():
                    if process.healing is not None:
                        process.healing.engine.scrub.begin()
            schedule.run(schedule.now_ms + LOOK_EVERY_MS)

    def _standing(self) -> str:
        left = [f"{one.name} of {one.machine.id}" for one in self.outstanding()]
        unsound = [process.id for process in self._world.network.running.values() if not self._is_sound(process)]
        return f"{left}; members with entries that cannot be read: {unsound}"

    def _all_sound(self) -> bool:
        return all(self._is_sound(process) for process in self._world.network.running.values())

    def _is_sound(self, process: "Process") -> bool:
        """Return whether each entry of its log can be read; each is the one that was there."""
        storage, log = process.storage, process.machine.log
        storage_parts: Any = storage
        base_index = storage.base_index
        indexes = [*storage_parts._positions.sparse.indexes, *range(base_index + 1, storage.last_index + 1)]
        try:
            records = storage.reader.read_many(indexes) if indexes else []
        except CorruptLog:
            return False
        for index, record in zip(indexes, records, strict=True):
            if record != log[index - 1].record:
                raise Violation("mended", f"entry {index} of member {process.id} is another one than was there")
        return True
