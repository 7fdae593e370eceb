"""The repairer: damaged entries are fetched from the other members, checked, and written anew.

Any thread that finds damage calls `note`, or `wait` if it may wait.  One thread mends, file by file: it reads the
entries once more, asks the members in turn, and gives what it got to `Storage.mend`, which writes a new file.

A reader does not wait for that: a lost file of a hundred thousand entries takes a while, and a disk that is full or
broken may take nothing at all.  `wait` fetches what the reader lacks, and the read then returns that (`Borrowed`).

Rules.
- An entry is repaired at most by one thread, and asked for at most once in RETRY_S while nobody has it.  A member that
  comes back is asked at once.
- A reader waits for a member that cannot be asked at this moment, as long as it may.  It gets an answer at once if all
  members have answered lately that they lack the entry, or if another reader has waited in vain.
- Damage that no entry describes lies in the state document, the header or the end of the base: the base is then made
  anew from the state in memory, by `renew_base`.
- Bounds: INDEXES_MAX entries are remembered.  What is beyond is found again by the next read, or by the scrub.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from raft.core.configuration import Member
from raft.core.raft_messages import Entry
from raft.engine.damage import Damage
from raft.errors import ADVICE, CorruptLog, DiskFull, InvalidMessage, RefusedPeer
from raft.storage.file_names import snapshot_index

logger = logging.getLogger(__name__)

WAIT_S = 5.0  # clients are promised an answer by then
RETRY_S = 30.0  # until the members are asked again for what none of them had
AWAY_S = 15.0  # a member that was silent for longer has come back when it is heard again
INDEXES_MAX = 500_000  # entries that are remembered: a lost file has some hundred thousand; 50 MB
MEND_BYTES = 32 << 20  # of records held in memory, and written in one file, at a time
BORROWERS_MAX = 8  # readers that ask other members at a time; others wait for their turn
BORROW_RETRY_S = 0.2  # until a reader asks again the members that could not be asked
READ_TRIES = 8  # of a reader: each one names all damage that it met, so the second is usually sound
_SLICE = 1_024  # entries that are read at once before they are fetched

T = TypeVar("T")


class Log(Protocol):
    """The storage, as a repair sees it (raft/storage/log_store.py)."""

    def sound(self, indexes: Sequence[int]) -> dict[int, bytes]: ...
    def in_order(self, indexes: Sequence[int]) -> set[int]: ...
    def places_of(self, indexes: Sequence[int]) -> dict[int, tuple[str, int]]: ...
    def lost_in(self, file: str) -> list[int]: ...
    def mend(self, records: dict[int, bytes]) -> set[int]: ...
    def borrow(self, entries: Sequence[Entry]) -> set[int]: ...
    def is_borrowed(self, index: int) -> bool: ...


class Members(Protocol):
    """The other members (fetching.py)."""

    def members(self) -> list[Member]: ...
    def fetch(self, member: Member, indexes: Sequence[int]) -> Iterable[Entry]: ...


@dataclass(slots=True)
class Mended:
    """The result of one file's repair: which entries were mended, and from whom."""

    indexes: set[int] = field(default_factory=set)
    fetched: set[int] = field(default_factory=set)  # a member has them, mended or not
    sources: set[int] = field(default_factory=set)


class Repairer:
    """Mends one member's log.  Thread-safe."""

    def __init__(
        self,
        log: Log,
        others: Members,
        damage: Damage,
        renew_base: Callable[[], None] = lambda: None,
        on_change: Callable[[], None] = lambda: None,
        needed_among: Callable[[Iterable[int]], set[int]] = set,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`renew_base()` has the base made anew, soon; it does not wait for that.

        `on_change()` is called after the set of damaged entries has changed, by any thread, under no lock.
        `needed_among(indexes)`: the entries whose text may still be asked for.
        """
        self._log = log
        self._others = others
        self._damage = damage
        self._renew_base = renew_base
        self._on_change = on_change
        self._needed_among = needed_among
        self._clock = clock
        self._changed = threading.Condition()
        self._due: dict[str, set[int]] = {}  # by file: entries to mend
        self._left: dict[str, set[int]] = {}  # by file: entries that no member had
        self._logged_left: set[int] = set()  # of those, the ones that a line of the log named
        self._lacked: dict[
            int, float
        ] = {}  # entries that a reader got from nobody -> until when that is taken for true
        self._borrowers = threading.BoundedSemaphore(BORROWERS_MAX)
        self._heard: dict[int, float] = {}  # by member: when it was heard last
        self._retry_s = 0.0  # when the members are asked again for what is left
        self._stopped = False
        self.found_count = 0  # entries found damaged since this process started
        self.mended_count = 0

    # Any thread

    def note(self, error: CorruptLog) -> None:
        """Note damage, and have it mended; returns at once."""
        if error.indexes:
            for one in self._by_file(error):
                self._damage.note(one)
                self.add(one.file, one.indexes)
        elif snapshot_index(Path(error.file).name):
            self._damage.note(error)
            self._renew_base()
        else:  # the storage writes such a file anew by itself
            logger.warning("%s: %s at byte %d; no entry was lost there", error.file, error.what, error.offset)

    def _by_file(self, error: CorruptLog) -> list[CorruptLog]:
        """Return the damage of each file that a read met; `error` names only the first place."""
        places = self._log.places_of(error.indexes)
        files: dict[str, list[int]] = {}
        for index in error.indexes:
            files.setdefault(places[index][0] if index in places else error.file, []).append(index)
        if list(files) == [error.file]:
            return [error]
        return [
            CorruptLog(
                file, places.get(first, ("", error.offset))[1], f"entry {first} is damaged", ADVICE, (first, *rest)
            )
            for file, (first, *rest) in files.items()
        ]

    def add(self, file: str, indexes: Iterable[int]) -> None:
        """Have these entries of a file mended."""
        with self._changed:
            known = self._due.setdefault(file, set())
            left = self._left.get(file, set())
            room = INDEXES_MAX - sum(map(len, self._due.values())) - sum(map(len, self._left.values()))
            new = [index for index in indexes if index not in known and index not in left][: max(0, room)]
            known.update(new)
            self.found_count += len(new)
            if not known:
                del self._due[file]
            self._changed.notify_all()
        if new:
            self._on_change()

    def wait(self, error: CorruptLog, timeout_s: float = WAIT_S) -> bool:
        """Note damage and wait until a read of it is right; return False if nobody has it, or it takes longer.

        Damage that no entry describes is not waited for.
        """
        self.note(error)
        if not error.indexes:
            return False
        deadline_s = self._clock() + timeout_s
        while True:
            lacking = self._lacking_to_read(error.indexes)
            if not lacking or self._stopped:
                return not lacking
            if self._is_lacked(lacking) or not self._borrow(lacking, deadline_s):
                return False

    def _lacking_to_read(self, indexes: Iterable[int]) -> list[int]:
        """Return those of the entries that are not mended yet, and not borrowed."""
        wanted = set(indexes)
        with self._changed:
            damaged = set[int]().union(
                *(wanted & known for by_file in (self._due, self._left) for known in by_file.values())
            )
        return sorted(index for index in damaged if not self._log.is_borrowed(index))

    def _is_lacked(self, indexes: Iterable[int]) -> bool:
        now_s = self._clock()
        with self._changed:
            return any(self._lacked.get(index, 0.0) > now_s for index in indexes)

    def _borrow(self, lacking: list[int], deadline_s: float) -> bool:
        """Fetch what a reader lacks, once; return False if it cannot be had, or it is too late for another try."""
        if not self._borrowers.acquire(timeout=max(0.0, deadline_s - self._clock())):
            return False
        try:
            lacking = self._lacking_to_read(lacking)  # another reader may have borrowed the same
            lacking, all_answered = self._borrow_from_members(lacking)
        finally:
            self._borrowers.release()
        if not lacking:
            return True
        left_s = deadline_s - self._clock()
        if all_answered or left_s <= 0:
            self._note_lacked(lacking)
            return False
        with self._changed:
            self._changed.wait(min(BORROW_RETRY_S, left_s))
        return True

    def _borrow_from_members(self, lacking: list[int]) -> tuple[list[int], bool]:
        """Ask the members in turn; return what none of them had, and whether all of them answered."""
        all_answered = True
        for member in self._others.members():
            if not lacking or self._stopped:
                break
            taken = set[int]()
            try:
                for entry in self._others.fetch(member, lacking):
                    taken |= self._log.borrow([entry])
            except (InvalidMessage, RefusedPeer):
                all_answered = False
            lacking = [index for index in lacking if index not in taken]
        return lacking, all_answered

    def _note_lacked(self, lacking: Iterable[int]) -> None:
        now_s = self._clock()
        with self._changed:
            if len(self._lacked) > INDEXES_MAX:
                self._lacked.clear()
            self._lacked.update(dict.fromkeys(lacking, now_s + RETRY_S))

    def wait_written(self, error: CorruptLog, timeout_s: float) -> bool:
        """Note damage and wait until it is mended on the disk, for a read by another process; return as `wait` does.

        Of damage that no entry describes: until the file is whole again, or replaced.
        """
        self.note(error)
        wanted = set(error.indexes)
        if not wanted:
            return self._wait_forgotten(error.file, timeout_s)

        def has(by_file: dict[str, set[int]]) -> bool:
            return any(not wanted.isdisjoint(known) for known in by_file.values())

        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not has(self._due), timeout_s)
            return not (self._stopped or has(self._due) or has(self._left))

    def _wait_forgotten(self, file: str, timeout_s: float) -> bool:
        deadline_s = self._clock() + timeout_s
        while is_damaged := self._damage.has(file):
            left_s = deadline_s - self._clock()
            if left_s <= 0 or self._stopped:
                break
            with self._changed:
                self._changed.wait(min(BORROW_RETRY_S, left_s))
        return not is_damaged

    def wait_all(self, timeout_s: float) -> bool:
        """Wait until nothing is left to mend; return False if that takes longer, or no member has something."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._due, timeout_s)
            return not self._due and not self._left

    def read(self, read: Callable[[], T], timeout_s: float = WAIT_S, *, elsewhere: bool = False) -> T:
        """Return what `read` returns, once the damage that it meets is mended; for a thread that may wait.

        `elsewhere`: another process reads the files, so that they have to be written anew first.

        Raises what `read` raises; CorruptLog: nobody has what is damaged, or mending takes longer.
        """
        deadline_s = self._clock() + timeout_s
        for _ in range(READ_TRIES - 1):
            try:
                return read()
            except CorruptLog as damage:
                wait = self.wait_written if elsewhere else self.wait
                if not wait(damage, max(0.0, deadline_s - self._clock())):
                    raise
        return read()

    def records(self, indexes: Sequence[int]) -> list[bytes]:
        """Return the records of these ascending entries, those that are damaged here from other members.

        Nothing is written.  For a thread that may wait.  Raises CorruptLog: no member has one of them.
        """
        found = self._log.sound(indexes)
        lacking = [index for index in indexes if index not in found]
        for member in self._others.members() if lacking else ():
            with suppress(InvalidMessage, RefusedPeer):
                for entry in self._others.fetch(member, lacking):
                    found[entry.index] = entry.record
            lacking = [index for index in lacking if index not in found]
        if lacking:
            raise CorruptLog("the log", 0, f"entries {ranges(lacking)} are damaged", ADVICE, lacking)
        return [found[index] for index in indexes]

    def heard(self, member: int) -> None:
        """Note that a member answered: one that was away may have what nobody else had."""
        now_s = self._clock()
        last_s = self._heard.get(member)
        self._heard[member] = now_s
        if self._left and (last_s is None or now_s - last_s > AWAY_S):
            self.retry()

    def retry(self) -> None:
        """Ask the members again for what none of them had."""
        with self._changed:
            self._lacked.clear()
            self._retry_s = 0.0
            self._changed.notify_all()

    def has_left(self) -> bool:
        """Return whether there are entries that no member had."""
        with self._changed:
            return bool(self._left)

    def is_damaged(self) -> bool:
        """Return whether an entry waits to be mended, or cannot be."""
        with self._changed:
            return bool(self._due or self._left)

    def highest(self) -> int:
        """Return the highest index whose entry is damaged; 0 if none is."""
        with self._changed:
            return max((max(indexes) for indexes in (*self._due.values(), *self._left.values()) if indexes), default=0)

    def stop(self) -> None:
        """End the thread, and all waits."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    # The thread

    def run(self) -> None:
        """Run the thread; `stop` ends it."""
        while (due := self._next()) is not None:
            self.mend_file(*due)

    def _next(self) -> tuple[str, list[int]] | None:
        """Wait for a file with damaged entries; None: the end."""
        with self._changed:
            while not self._stopped:
                if not self._due and self._left and self._clock() >= self._retry_s:
                    self._due, self._left = self._left, {}
                if self._due:
                    file = next(iter(self._due))
                    return file, sorted(self._due[file])
                self._changed.wait(max(0.05, self._retry_s - self._clock()) if self._left else None)
            return None

    def mend_file(self, file: str, indexes: Sequence[int]) -> None:
        """Mend these ascending entries of a file, and all else that is lost in it, as far as a member has them.

        Then nobody waits for them any more.
        """
        mended, settled = Mended(), set[int]()
        try:
            if lost := self._log.lost_in(file):  # all of them: the file is written anew once
                self.add(file, lost)
                indexes = sorted({*indexes, *lost})
            lacking = self._lacking(indexes, settled)
            for member in self._others.members():
                if not lacking or self._stopped:
                    break
                placed = self._mend_from(member, lacking, mended.fetched)
                if placed:
                    mended.sources.add(member.id)
                    mended.indexes |= placed
                    settled |= placed
                    lacking = [index for index in lacking if index not in placed]
        except (OSError, DiskFull) as error:
            logger.warning("%s: damaged entries could not be written anew; next try in %d s: %s", file, RETRY_S, error)
        finally:
            self._settle(file, set(indexes), settled, mended)
        if (mended.indexes and snapshot_index(Path(file).name)) or self.has_left():
            self._renew_base()  # its state may be damaged too; what nobody has may be text that nobody needs any more

    def _lacking(self, indexes: Sequence[int], settled: set[int]) -> list[int]:
        """Return the entries that are damaged; `settled` gets those that are sound or not in the log any more.

        A read that failed once may succeed, and the news of a reader may be older than a repair.
        """
        for start in range(0, len(indexes), _SLICE):
            settled |= self._log.in_order(indexes[start : start + _SLICE])
        return [index for index in indexes if index not in settled]

    def _mend_from(self, member: Member, indexes: Sequence[int], fetched: set[int]) -> set[int]:
        """Mend what this member has, and add that to `fetched`; return the entries that were mended."""
        placed, records, size = set[int](), dict[int, bytes](), 0
        try:
            for entry in self._others.fetch(member, indexes):
                records[entry.index] = entry.record
                fetched.add(entry.index)
                size += len(entry.record)
                if size >= MEND_BYTES:
                    placed |= self._log.mend(records)
                    records, size = {}, 0
        except (InvalidMessage, RefusedPeer):
            pass  # it is away, or its program does not know the call: another member may have the rest
        return placed | (self._log.mend(records) if records else set())

    def _settle(self, file: str, tried: set[int], settled: set[int], mended: Mended) -> None:
        with self._changed:
            due = self._due.get(file, set())
            due -= tried
            if not due:
                self._due.pop(file, None)
            left = self._left.setdefault(file, set())
            left |= tried - settled
            left -= settled
            if not left:
                del self._left[file]
            self._retry_s = self._clock() + RETRY_S
            self.mended_count += len(mended.indexes)
            is_sound = not due and not left
            self._changed.notify_all()
        self._log_result(file, tried - settled, mended)
        self._on_change()
        if is_sound:
            self._damage.forget(file)

    def _log_result(self, file: str, left: set[int], mended: Mended) -> None:
        if mended.indexes:
            sources = ", ".join(map(str, sorted(mended.sources)))
            logger.warning(
                "%s: %d entries were damaged (%s); mended from member %s",
                file, len(mended.indexes), ranges(mended.indexes), sources,
            )  # fmt: skip
            self._logged_left -= mended.indexes
        if left & mended.fetched:
            why = "the disk does not give them back, or they are not those that were there"
            logger.warning("%s: damaged entries could not be written anew; next try in %d s: %s", file, RETRY_S, why)
        if new := left - self._logged_left - mended.fetched:
            self._logged_left |= new
            if needed := self._needed_among(new):
                logger.error(
                    "%s: entries %s are damaged, and no other member has them; next try in %d s; %s",
                    file, ranges(needed), RETRY_S, ADVICE,
                )  # fmt: skip
            if unneeded := new - needed:
                logger.warning("%s: entries %s were damaged, and nobody needs them any more", file, ranges(unneeded))


def ranges(indexes: Iterable[int]) -> str:
    """Return indexes as text, like "3, 7-9"; the first ones, if there are many."""
    found: list[list[int]] = []
    for index in sorted(indexes):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in found[:_RANGES_MAX]]
    if len(found) > _RANGES_MAX:
        shown.append(f"and {len(found) - _RANGES_MAX} more ranges")
    return ", ".join(shown)


_RANGES_MAX = 20
