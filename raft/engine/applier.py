"""The applier: committed entries to the state machine, in order, each proposal once; and the reads that wait for that.

Only entries that are durable here are applied, so the whole state can be read again from this disk.  A batch is applied
first and its proposers are answered after it, by the thread that applied it: that is quicker than waking a thread for
each.  Usually that is the apply thread.  One or two entries are applied by the thread that learned of their commit,
which is quicker than waking another one.

In a start, and after a snapshot has replaced the log, the state comes from a state document first.

An entry that is damaged on the disk is waited for until it is mended from another member; a stop ends the wait.  If no
member has it, since the others have compacted it away, the leader's snapshot takes the place of the state here.

A read is confirmed once the leader's index for it is applied here (dissertation §6.4).

A member whose state differs from the others' (raft/digest) is frozen: it applies nothing more, and answers no reads,
until a state from the leader takes the place of its own.
"""

import logging
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue

from raft.core.configuration import Configuration, decode_configuration
from raft.core.digest_points import DigestPoints
from raft.core.node import Node
from raft.core.raft_messages import Entry, Kind
from raft.engine.node_lock import Callbacks, NodeLock
from raft.engine.proposals import Done, Proposals
from raft.engine.queues import drain, drain_nowait
from raft.engine.state_machine import CopyTaker, Replicated, StateMachine
from raft.errors import CorruptLog, InvalidMessage, RaftError, StartRefused, Unavailable
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Document

logger = logging.getLogger(__name__)

APPLY_BYTES_MAX = 1 << 20  # in one batch, which is answered together
FEW = 2  # entries that are applied faster than a thread wakes
READ_TIMEOUT_S = 4.0  # then 503, which clients are promised within 5 s
DIGEST_LAG_MAX = 10_000  # a member that lags by more entries takes no digests, but catches up
LOST_TRIES = 5  # to read a damaged entry that no member has, before the leader's snapshot is asked for
MEND_S = 1.0  # between two tries to read a damaged entry that no member has
DOCUMENT_TIMEOUT_S = 1.0  # a batch takes longer only in a start, or on a machine that is too busy


@dataclass(frozen=True, slots=True)
class Read:
    """A read that waits, and since when."""

    done: Callable[[RaftError | None, int], None]  # an error, or the read's index: the state there answers it
    since_s: float
    from_peer: bool = False  # a peer asked, and applies by itself; not passed on, so there is one hop at most
    min_index: int = 0  # the read also waits until this index is applied

    def is_overdue(self, now_s: float) -> bool:
        """Return whether the read has waited so long that it is refused."""
        return now_s - self.since_s >= READ_TIMEOUT_S

    def give_up(self) -> None:
        """Refuse the read."""
        self.done(
            Unavailable("no leader with a majority can be reached; ?consistency=stale reads what this node has"), 0
        )


class Applier:
    """The owner of `last_applied`."""

    def __init__(
        self,
        node_lock: NodeLock,
        storage: Storage,
        machine: StateMachine,
        proposals: Proposals,
        on_configuration: Callable[[Configuration], None],
        copies: CopyTaker | None = None,
        mended: Callable[[CorruptLog, float], bool] = lambda damage, timeout_s: False,
        lost_state: Callable[[CorruptLog], bool] = lambda damage: False,
    ) -> None:
        """`on_configuration` is called by the thread that applies, with each committed configuration.

        `copies` gets copies of the state at the log's digest points.  `mended(damage, timeout_s)` waits until damaged
        entries are mended; False: they are not, so far.  `lost_state(damage)` has another member's state take the place
        of a state document that is damaged, after `freeze`; False: no other member can have one.
        """
        self.refusal = ""  # why nothing is read or proposed here; "" if it is.  Set and cleared by raft/digest
        self._is_frozen = False
        self._copies = copies
        self._points = DigestPoints()
        self.last_applied = 0
        self._node_lock = node_lock
        self._storage = storage
        self._machine = machine
        self._proposals = proposals
        self._on_configuration = on_configuration
        self._mended = mended
        self._lost_state = lost_state
        self._replicated = Replicated(machine)
        self._changed = threading.Condition()
        self._given_up = False
        self._stopping = threading.Event()
        self._commit_index = 0  # as last given
        self._busy = threading.Lock()  # held by the thread that applies
        self._queue: SimpleQueue[int | None] = SimpleQueue()  # up to which index; None ends the thread
        self._reads_lock = threading.Lock()  # held for a moment; the thread that takes reads out answers them
        self._reads: list[tuple[int, Read]] = []  # each with the index that it waits for
        self._at_node: dict[int, list[Read]] = {}  # reads that wait for a ReadIndex round, by token
        self._lost: SimpleQueue[Read] = SimpleQueue()

    # Parts of a Ready; under the engine's lock

    def commit(self, index: int) -> bool:
        """Allow applying up to `index`; return whether that is new.  Then `wake` or `apply_few` without the lock."""
        if index <= self._commit_index:
            return False
        self._commit_index = index
        return True

    def confirmed(self, reads: Sequence[tuple[int, int]]) -> Callbacks:
        """Return the callbacks that answer the reads of these (token, index): they need the state at the index."""
        callbacks: Callbacks = []
        for token, index in reads:
            batch = self._at_node.pop(token, [])  # none if they were given up meanwhile
            if batch and batch[0].from_peer:
                callbacks += [partial(read.done, None, index) for read in batch]
            elif batch:
                callbacks.append(partial(self.read_at, index, batch))
        return callbacks

    def lost(self, tokens: Sequence[int]) -> None:
        """Queue for another try the reads that this member cannot confirm, since it stopped leading."""
        for token in tokens:
            for read in self._at_node.pop(token, []):
                self._lost.put(read)

    def register(self, token: int, reads: list[Read]) -> None:
        """Note which reads the Node is asked about under `token`."""
        self._at_node[token] = reads

    # From other threads

    def wake(self) -> None:
        """Let the apply thread apply what is committed."""
        self._queue.put(self._commit_index)

    def apply_few(self) -> None:
        """Apply what is committed in this thread, if it is little and no other thread is applying."""
        if self._commit_index - self.last_applied > FEW or not self._busy.acquire(blocking=False):
            self.wake()
            return
        try:
            self._apply_up_to(min(self._commit_index, self.last_applied + FEW))
        except CorruptLog:  # for the apply thread, which may wait until it is mended
            self.wake()
        finally:
            self._busy.release()
        if self.last_applied < self._commit_index or self._reads:
            self.wake()

    def apply_left(self) -> None:
        """Apply what is committed, if anything is left: here if it is little, else in the apply thread."""
        if self.last_applied < self._commit_index:
            self.apply_few()

    def wake_if_late(self) -> None:
        """Wake the apply thread if something is left to apply: who was to apply it may wait for a disk that hangs."""
        if self.last_applied < self._commit_index:
            self.wake()

    @property
    def is_awaited(self) -> bool:
        """Return whether a client of this member waits for an entry to be applied.  Takes no lock."""
        return bool(self._reads) or self._proposals.are_waiting

    def read_at(self, index: int, reads: list[Read]) -> None:
        """Confirm these reads once `index` is applied: now, in this thread, or by the apply thread."""
        later = []
        for read in reads:
            if self.refusal and not read.from_peer:
                read.done(Unavailable(self.refusal), 0)
            elif max(index, read.min_index) <= self.last_applied:
                read.done(None, index)
            else:
                later.append((max(index, read.min_index), read))
        if later:
            with self._reads_lock:
                self._reads += later
            self.wake()

    def take_lost(self) -> list[Read]:
        """Take the reads that have to be asked for again."""
        return drain_nowait(self._lost)

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        """Wait until `index` is applied; return False if that takes longer, or the applier gives up."""
        if self.last_applied >= index:
            return True
        self.wake_if_late()
        with self._changed:
            self._changed.wait_for(lambda: self.last_applied >= index or self._given_up, timeout_s)
        return self.last_applied >= index

    def give_up(self) -> None:
        """Stop waiting for any index; entries that are not applied yet are left to the next start."""
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def document(self) -> Document | None:
        """Return the state as it is now; None if it cannot be read in time.

        Applying stops for milliseconds.  The whole state is committed, and durable here.
        """
        if not self._busy.acquire(timeout=DOCUMENT_TIMEOUT_S):
            return None
        try:
            meta = self._replicated.meta
            return Document(meta, self._replicated.document()) if meta.index else None
        finally:
            self._busy.release()

    def digest_copy(self) -> tuple[str, int, Iterator[bytes]] | None:
        """Return the state as it is now for a digest: the format, the log index and the pieces; None as `document`."""
        if not self._busy.acquire(timeout=DOCUMENT_TIMEOUT_S):
            return None
        try:
            index = self._replicated.meta.index
            return (self._replicated.digest_format, index, self._replicated.digest_input()) if index else None
        finally:
            self._busy.release()

    def freeze(self) -> int:
        """Apply nothing more until `replace_state`, and refuse all reads; return the last applied index.

        `refusal` is set before.
        """
        self._is_frozen = True
        with self._busy:
            for _, read in self._take_reads(lambda index, read: True):
                read.done(Unavailable(self.refusal), 0)
            return self.last_applied

    def replace_state(self) -> bool:
        """Restore the base, which is newer than the state, in place of the state, and go on; return whether it was."""
        with self._busy:
            if self._storage.base_index <= self.last_applied or self._commit_index < self._storage.base_index:
                return False
            self._restore(self._commit_index)
            if self.last_applied < self._storage.base_index:
                return False
            self._is_frozen = False
        self.wake()
        return True

    def document_and_live(self) -> "tuple[Document, array[int]] | None":
        """Return the state as it is now, and the entries that are live in it; None if it cannot be read in time."""
        if not self._busy.acquire(timeout=DOCUMENT_TIMEOUT_S):
            return None
        try:
            meta = self._replicated.meta
            return (Document(meta, self._replicated.document()), self._machine.live()) if meta.index else None
        finally:
            self._busy.release()

    def needed_among(self, indexes: Iterable[int]) -> set[int]:
        """Return the entries that are live in the state, or not applied yet; all, if it cannot be read in time."""
        if not self._busy.acquire(timeout=DOCUMENT_TIMEOUT_S):
            return set(indexes)
        try:
            live, applied = self._machine.live(), self.last_applied
        finally:
            self._busy.release()

        def is_live(index: int) -> bool:
            place = bisect_left(live, index)
            return place < len(live) and live[place] == index

        return {index for index in indexes if index > applied or is_live(index)}

    # The thread

    def run(self) -> None:
        """Run the apply thread; `stop` ends it."""
        while True:
            items = drain(self._queue)
            self._apply_mending(max((item for item in items if item is not None), default=0))
            for index, read in self._take_reads(lambda index, read: index <= self.last_applied):
                read.done(None, index)
            if None in items:
                return

    def expire_reads(self, now_s: float) -> None:
        """Refuse reads that have waited too long: for a majority, or for this member to apply what it lacks."""
        for _, read in self._take_reads(lambda index, read: read.is_overdue(now_s)):
            read.give_up()
        if self._at_node:
            for read in self._node_lock.read(lambda node: self._take_overdue_locked(now_s)):
                read.give_up()

    def _take_reads(self, which: Callable[[int, Read], bool]) -> list[tuple[int, Read]]:
        """Take out the reads to answer now, each with its index."""
        if not self._reads:
            return []
        with self._reads_lock:
            due = [which(index, read) for index, read in self._reads]
            taken = [waiting for waiting, now in zip(self._reads, due, strict=True) if now]
            self._reads = [waiting for waiting, now in zip(self._reads, due, strict=True) if not now]
        return taken

    def _take_overdue_locked(self, now_s: float) -> list[Read]:
        tokens = [token for token, batch in self._at_node.items() if batch[0].is_overdue(now_s)]
        return [read for token in tokens for read in self._at_node.pop(token)]

    def stop(self) -> None:
        """End the thread once its queue is done; entries that are damaged on the disk are left to the next start."""
        self._stopping.set()
        self._queue.put(None)

    def _apply_mending(self, commit_index: int) -> None:
        """Apply up to `commit_index`; wait for entries that are damaged on the disk.

        Raises CorruptLog if the state document, or an entry, is damaged, and no other member is there to have it.
        """
        tries = 0  # without success, one after the other
        while not self._given_up:
            try:
                with self._busy:
                    self._apply_up_to(commit_index)
                return
            except CorruptLog as damage:
                if not damage.indexes:
                    if not self._lost_state(damage):
                        raise
                    return
                if self._mended(damage, MEND_S):
                    tries = 0
                    continue
                if self._node_lock.read(_is_alone):
                    raise
                tries += 1
                if tries % LOST_TRIES == 0 and self._node_lock.read(_has_leader):
                    # The others may have compacted it away: a snapshot has what it did.  A leader hands over for that.
                    self._lost_state(damage)
                    if self._is_frozen:
                        return
                if self._stopping.wait(MEND_S):
                    return

    def _apply_up_to(self, commit_index: int) -> None:
        if commit_index and not self.last_applied and not self._is_frozen:
            self._restore(commit_index)
        while self.last_applied < commit_index and not self._given_up and not self._is_frozen:
            entries = self._committed(self.last_applied + 1, commit_index)
            if entries is None and commit_index < self._storage.base_index:
                return  # the snapshot's own commit index is about to come
            if entries is None:
                self._restore(commit_index)
                continue
            answers = self._apply_all(entries, commit_index)
            self.last_applied = entries[-1].index
            with self._changed:
                self._changed.notify_all()
            for done, result in answers:
                done(result)
            self._machine.applied(self.last_applied)  # after the answers: this wakes a thread that would delay them

    def _apply_all(self, entries: Sequence[Entry], commit_index: int) -> list[tuple[Done, object]]:
        """Apply a batch, and copy the state at each digest point in it; return the answers to its proposers."""
        if self._copies is None or self._points.is_within(entries[-1].time):
            return [answer for entry in entries if (answer := self._apply(entry))]
        answers = []
        for entry in entries:
            if answer := self._apply(entry):
                answers.append(answer)
            is_point, is_coarse = self._points.passed(entry.time)
            if is_point and commit_index - entry.index < DIGEST_LAG_MAX and self._copies.wants(is_coarse=is_coarse):
                self._copies.put(self._replicated.digest_format, entry.index, self._replicated.digest_input())
        return answers

    def _restore(self, commit_index: int) -> None:
        """Restore the newest state document if it is ahead: the entries before it may be gone."""
        found = self._storage.documents(commit_index)
        if found is None or found.meta.index <= self.last_applied:
            return
        index = found.meta.index
        what = "snapshot" if index == self._storage.base_index else "checkpoint"
        left = commit_index - index
        logger.info("restored the state from the %s at index %d; %d entries are left to apply", what, index, left)
        try:
            self._replicated.restore(found.meta, found.lines)
        except InvalidMessage as error:
            advice = (
                "delete checkpoint-*"
                if what == "checkpoint"
                else "another version of raft-chat wrote it; start that version"
            )
            raise StartRefused(f"the {what} at index {index} cannot be read: {error}; {advice}") from error
        self._points.go_on(found.meta.time)
        self._on_configuration(self._node_lock.read(lambda node: node.committed_configuration))
        with self._changed:
            self.last_applied = index
            self._changed.notify_all()
        self._machine.applied(self.last_applied)

    def _committed(self, first: int, last: int) -> Sequence[Entry] | None:
        """Return committed entries from memory, or from disk if they have left memory since.

        None: a snapshot has replaced them, which may happen at any moment.
        """
        entries = self._node_lock.read(lambda node: node.log.slice(first, last, APPLY_BYTES_MAX))
        if entries is not None:
            return entries
        try:
            return self._storage.reader.read_entries(first, last, APPLY_BYTES_MAX)
        except CorruptLog as damage:
            if not damage.indexes or damage.indexes[0] <= first:
                raise
            return self._storage.reader.read_entries(first, damage.indexes[0] - 1, APPLY_BYTES_MAX)
        except LookupError:
            if first > self._storage.base_index:
                raise
            return None

    def _apply(self, entry: Entry) -> tuple[Done, object] | None:
        if entry.kind is Kind.CONFIGURATION:
            self._on_configuration(decode_configuration(entry.body))
        admitted, result = self._replicated.apply(entry)
        if entry.id is None or not admitted:
            return None
        done = self._proposals.answered(entry.id)
        return (done, result) if done else None


def _has_leader(node: Node) -> bool:
    return node.leader_id != 0


def _is_alone(node: Node) -> bool:
    """Return whether there is no other member that may have an entry that is damaged here."""
    return not set(node.configuration.members) - {node.id}
