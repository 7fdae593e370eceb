"""Healing: the repairer, the scrub and the answers to other members' fetches, as one part of a running member."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from raft.core.node import Node
from raft.core.raft_messages import Entry, SnapshotMeta
from raft.engine.damage import Damage
from raft.engine.node_lock import NodeLock
from raft.engine.own_identity import OwnIdentity
from raft.errors import CorruptLog
from raft.repair.fetching import Fetcher, answer_fetch, in_order, sound_records
from raft.repair.repairer import WAIT_S, Repairer, T
from raft.repair.scrub import Scrub
from raft.rpc.calls import FetchedEntries, FetchEntries
from raft.rpc.peer_client import Addresses
from raft.storage.file_names import snapshot_name
from raft.storage.log_store import Storage

logger = logging.getLogger(__name__)

_HOLES = 1_024  # read at once
_READ_BYTES = 128 << 10  # a millisecond


class Healing:
    """Finds and mends damage in one member's files.  Thread-safe."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        own: OwnIdentity,
        addresses: Addresses,
        damage: Damage,
        *,
        end_segment: Callable[[], None],
        ask_for_base: Callable[[], None],
        make_base: Callable[[Callable[[], None]], SnapshotMeta | None],
        needed_among: Callable[[Iterable[int]], set[int]],
        scrub_bytes_per_s: int,
    ) -> None:
        """`end_segment()` completes the newest segment, which is never written anew; it may wait for the disk.

        `ask_for_base()` has `renewed_base` called, soon, by another thread; `make_base(pause)` makes and adopts one.
        `needed_among(indexes)`: those that are live in the state, or are yet to be applied.
        """
        self._node_lock = node_lock
        self._storage = storage
        self._damage = damage
        self._make_base = make_base
        self.repairer = Repairer(
            _Log(storage, end_segment), Fetcher(node_lock, own, addresses, storage), damage,
            ask_for_base, on_change=self._note_hole, needed_among=needed_among,
        )  # fmt: skip
        self.scrub = Scrub(storage.verify, self.repairer.note, bytes_per_s=scrub_bytes_per_s, on_end=self._scrubbed)
        self._hole = 0  # as the core was told
        self._hole_lock = threading.Lock()

    def runs(self) -> list[tuple[str, Callable[[], None]]]:
        """Return the names and the bodies of the threads."""
        return [("raft-repair", self.repairer.run), ("raft-scrub", self.scrub.run)]

    def start(self) -> None:
        """Have the holes that the start found mended, and look for more damage at once where some is known."""
        holes = [index for index, _ in self._storage.holes()]
        for start in range(0, len(holes), _HOLES):
            self._note_holes(holes[start : start + _HOLES])
        if self._storage.recovered.base_damage is not None:
            self._damage.note(self._storage.recovered.base_damage)
        if holes or self._damage.found():
            self.scrub.begin()

    def _note_holes(self, holes: Sequence[int]) -> None:
        """Note these holes with the files that they are in, as a read finds them."""
        left = list(holes)
        while left:
            try:
                self._storage.own_reader.read_many(left)
                return
            except CorruptLog as damage:
                self.repairer.note(damage)
                found = set(damage.indexes)
                if found.isdisjoint(left):
                    return
                left = [index for index in left if index not in found]
            except LookupError:
                return

    def stop(self) -> None:
        """End the threads, and all waits."""
        self.repairer.stop()
        self.scrub.stop()

    def mended(self, error: CorruptLog, timeout_s: float = WAIT_S) -> bool:
        """Wait until a read of this damage is right; return False if it is not.  Only for a thread that may wait."""
        return self.repairer.wait(error, timeout_s)

    def written(self, error: CorruptLog, timeout_s: float) -> bool:
        """Wait until damage is mended on the disk; return False if it is not.  Only for a thread that may wait."""
        return self.repairer.wait_written(error, timeout_s)

    def read(self, read: Callable[[], T], timeout_s: float = WAIT_S, *, elsewhere: bool = False) -> T:
        """Read, and again once the damage is mended that this met.  Only for a thread that may wait.

        `elsewhere`: another process reads the files.
        """
        return self.repairer.read(read, timeout_s, elsewhere=elsewhere)

    def records(self, indexes: Sequence[int]) -> list[bytes]:
        """Return records by index, from other members where they are damaged here.  Raises CorruptLog."""
        return self.repairer.records(indexes)

    def answer(self, call: FetchEntries) -> FetchedEntries:
        """Answer another member's fetch, from this member's own disk only.  Reads a megabyte at most."""
        commit_index = self._node_lock.read(lambda node: node.commit_index)
        return answer_fetch(self._storage.own_reader, commit_index, call)

    def mend_all(self, damage: CorruptLog, timeout_s: float) -> bool:
        """Mend this damage and all else that a scrub finds; return False if it takes longer, or no member has it."""
        self.repairer.note(damage)
        return self.scrub.run_now(timeout_s) and self.repairer.wait_all(timeout_s)

    def renewed_base(self, pause: Callable[[], None]) -> SnapshotMeta | None:
        """Make a new base from the state in memory, and forget the damage in the old one; None: not now.

        Raises CorruptLog, InvalidMessage or OSError: it was not made.
        """
        meta = self._make_base(pause)
        if meta is not None:
            self._damage.forget(snapshot_name(meta.index))  # the old base may have had the same name
            self.forget_replaced()
        return meta

    def is_base_sound(self, pause: Callable[[], None]) -> bool:
        """Return whether all lines of the base are intact: the storage mends some damage in it by itself.

        False if an entry above it is lost that no member has: others may have compacted away what a new base lacks too.
        Raises OSError.
        """
        if self.repairer.has_left():
            return False
        base, offset = self._storage.snapshot, 0
        try:
            while base is not None and (lines := self._storage.read_snapshot(base, offset, _READ_BYTES)):
                offset += len(lines)
                pause()
        except LookupError:  # another one has replaced it
            pass
        except CorruptLog as damage:
            if damage.indexes:  # the repairer mends them, and then asks again
                self.repairer.note(damage)
            return bool(damage.indexes)
        if base is not None and self._damage.forget(base.name):
            logger.warning("%s: the snapshot was damaged, and is whole again", self._storage.data_dir / base.name)
        self.forget_replaced()  # the leader's snapshot may have taken the place of a damaged one
        return True

    def _scrubbed(self, damaged: set[str]) -> None:
        """Forget the damage in files in which a whole scrub has found none."""
        names = {Path(file).name for file in damaged}
        names.add(self._storage.newest_segment)  # not read by a scrub
        self._damage.forget_all_but(names.__contains__)
        self.forget_replaced()

    def forget_replaced(self) -> None:
        """Forget the damage in files that count no more."""
        self._damage.forget_all_but(self._storage.file_names().__contains__)
        self.repairer.retry()

    def status(self) -> Mapping[str, object] | None:
        """Return the member `Scrub` of `GET /raft`; None before the first scrub."""
        progress = self.scrub.progress
        if not progress.is_running and not progress.last_end:
            return None
        shown: dict[str, object] = {"Running": progress.is_running}
        if progress.is_running:
            shown |= {"DoneBytes": progress.done_bytes, "TotalBytes": progress.total_bytes}
        if progress.last_end:
            ended = datetime.fromtimestamp(progress.last_end, UTC).replace(tzinfo=None)
            shown |= {"LastEnd": f"{ended.isoformat(timespec='microseconds')}Z", "LastFound": progress.last_found}
        return shown

    def _note_hole(self) -> None:
        """Tell the core the highest damaged index: with one above its commit index it does not campaign."""
        with self._hole_lock:
            hole = self.repairer.highest()
            if hole == self._hole:
                return
            self._hole = hole
        self._node_lock.act(partial(_set_hole, hole))


def _set_hole(hole: int, node: Node) -> None:
    node.set_hole(hole)


class _Log:
    """The storage, for the repairer."""

    def __init__(self, storage: Storage, end_segment: Callable[[], None]) -> None:
        self._storage = storage
        self._end_segment = end_segment

    def sound(self, indexes: Sequence[int]) -> dict[int, bytes]:
        return sound_records(self._storage.own_reader, indexes)

    def in_order(self, indexes: Sequence[int]) -> set[int]:
        return in_order(self._storage.own_reader, indexes)

    def places_of(self, indexes: Sequence[int]) -> dict[int, tuple[str, int]]:
        return self._storage.places_of(indexes)

    def lost_in(self, file: str) -> list[int]:
        return self._storage.lost_in(Path(file).name)

    def mend(self, records: dict[int, bytes]) -> set[int]:
        if max(records) >= self._storage.newest_segment_index:
            self._end_segment()
        return self._storage.mend(records)

    def borrow(self, entries: Sequence[Entry]) -> set[int]:
        return self._storage.borrow(entries)

    def is_borrowed(self, index: int) -> bool:
        return self._storage.is_borrowed(index)
