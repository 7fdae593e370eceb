"""A member whose state differs from a majority's, or is lost: it serves nobody, and gets a new one from the leader.

    SERVES --(differs from a majority)--> DIFFERS --(a snapshot is in its place)--> COMPARES --(agrees)--> SERVES

*DIFFERS.*  Reads and proposals are refused (503: other members answer), also stale reads.  Nothing more is applied.
The member does not campaign, and hands leadership over if it leads (`Node.bar`).  Its checkpoints are removed, for they
hold the state; no other is made, and no snapshot.  Then it asks the leader for a snapshot above what it has applied.
*COMPARES.*  The state is the snapshot's, and applying goes on.  Reads are refused until a digest of a later index
agrees with a majority's.

Why the snapshot may take the place of a part of the log.  The log is not what differs: its entries have checksums, and
Log Matching (Raft §5.3) holds for them.  So the member goes on to append, acknowledge and vote all the time.  The
snapshot's last entry, of index S and term T, is committed, since a member makes snapshots of what it has applied only.
- The log holds an entry (S, T).  Then it is identical to the leader's in all entries up to S (Log Matching), and these
  are committed.  The snapshot takes their place, and *the entries that follow are retained* (Raft §7: "If instead the
  follower receives a snapshot that describes a prefix of its log, then log entries covered by the snapshot are deleted
  but entries following the snapshot are still valid and must be retained").  Some of them this member has acknowledged,
  and the leader may have counted it for them.
- The log holds no such entry.  Then it ends before S, or conflicts with what is committed, so nothing in it above S
  was ever acknowledged to a leader that holds S (§5.4: every later leader holds it).  The whole log is replaced, as by
  any snapshot.
In both cases the state at S is the snapshot's, whole, with the sessions; entries above S are applied to that alone.
What the leader sends could be wrong too, if it alone shares the fault.  So the member compares before it serves.

A start whose base is lost, with its state document, begins so too, before anything is applied (recovery.py).  All this
holds for it as well: the snapshot that is asked for is above the lost base, and replaces it.

The mark SET_ASIDE in the data directory outlives the process: a member that starts with it compares before it serves.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from threading import Lock
from typing import Protocol

from raft.core.node import Node, Role
from raft.core.raft_messages import SnapshotMeta
from raft.engine.leader_client import LeaderClient
from raft.engine.node_lock import NodeLock
from raft.errors import CorruptLog, InvalidMessage
from raft.rpc.calls import WantSnapshot, WantSnapshotReply
from raft.storage.disk import TEMPORARY_SUFFIX, Disk, create_durably

logger = logging.getLogger(__name__)

NAME = "SET_ASIDE"
ASK_S = 5.0  # between two requests to the leader; making a snapshot takes it some seconds
AGAIN_S = 30.0  # between two new states, doubled each time up to AGAIN_MAX_S: a fault of the program would come again
AGAIN_MAX_S = 3_600.0
REFUSAL = "this node's state differs from that of the other nodes; ask another node"


class Phase(Enum):
    """The phases of a member; see the top of this file."""

    SERVES = 0
    DIFFERS = 1
    COMPARES = 2


class Applies(Protocol):
    """The applier, as far as it is needed here."""

    refusal: str

    @property
    def last_applied(self) -> int:
        """The log index up to which the state is applied."""

    def freeze(self) -> int:
        """Apply nothing more; return the last applied index."""

    def replace_state(self) -> bool:
        """Go on from the base, if it is newer than the state."""


class Stores(Protocol):
    """The log on disk, as far as it is needed here."""

    @property
    def base_index(self) -> int:
        """The last index that the base covers."""

    def remove_checkpoints(self) -> None:
        """Remove all state documents but the base's."""

    def adopt_received(self, meta: SnapshotMeta) -> None:
        """Let a received snapshot take the place of the log up to its index; keep what follows."""


class SetAside:
    """The phase of this member, and the way back.  `step` is for one thread; the rest for any."""

    def __init__(
        self,
        id: int,
        node_lock: NodeLock,
        applier: Applies,
        storage: Stores,
        leader: LeaderClient,
        hold_maintenance: Callable[[bool], None],
        mark: tuple[Disk, Path] | None = None,
        on_begin: Callable[[int], None] = lambda index: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`hold_maintenance(True)` stops documents of the state being made.

        `mark`: the disk and the data directory; None: the phase ends with the process.
        `on_begin(last applied index)` is called when this member is set aside.
        """
        self.phase = Phase.SERVES
        self.index = 0  # where the state differs, or from where on it is new; 0 if it serves
        self.resyncs = 0  # new states of this process
        self._id = id
        self._node_lock = node_lock
        self._applier = applier
        self._storage = storage
        self._leader = leader
        self._hold_maintenance = hold_maintenance
        self._mark = mark
        self._on_begin = on_begin
        self._clock = clock
        self._placing = Lock()  # held while a snapshot is put in its place: one at a time
        self._above = 0  # the snapshot that is asked for is above this index
        self._asked_s = float("-inf")
        self._again_s = AGAIN_S
        self._not_before_s = float("-inf")
        self._logged = ""  # why the leader could not be asked, as last logged
        if mark is not None and self._is_marked(*mark):
            logger.warning("the state of this node differed when it stopped: it compares it before it serves")
            self.phase = Phase.COMPARES
            applier.refusal = REFUSAL
            node_lock.act(lambda node: node.bar(True))

    @property
    def is_doubted(self) -> bool:
        """Return whether the own digests must not count: the state is known to differ."""
        return self.phase is Phase.DIFFERS

    def begin(self, index: int, why: str) -> bool:
        """Set this member aside, unless it is, or got a new state a short while ago: the state at `index` is wrong.

        `why` is logged, after "this node …".  Return whether it was.
        """
        if self.phase is Phase.DIFFERS or self._clock() < self._not_before_s:
            return False
        logger.error("this node %s; it serves nobody until it has a new state", why)
        self._applier.refusal = REFUSAL
        self._write_mark()
        self.phase, self.index = Phase.DIFFERS, index
        self._hold_maintenance(True)
        self._node_lock.act(lambda node: node.bar(True))
        applied = self._applier.freeze()
        self._above = max(applied, self._storage.base_index, 1)  # 0 stands for no request
        self._on_begin(applied)
        with suppress(OSError):  # they are older than the snapshot to come, and then of no use
            self._storage.remove_checkpoints()
        self._asked_s = float("-inf")
        return True

    def step(self) -> bool:
        """Go one step on the way back, now and then; return whether the state was replaced in it."""
        if self.phase is not Phase.DIFFERS:
            return False
        if self._storage.base_index > self._above and self._replace_state():
            self._node_lock.act(lambda node: node.await_snapshot(0))
            self.phase, self.index = Phase.COMPARES, self._applier.last_applied
            self._hold_maintenance(False)
            self.resyncs += 1
            self._not_before_s, self._again_s = self._clock() + self._again_s, min(2 * self._again_s, AGAIN_MAX_S)
            logger.warning(
                "this node has a new state, from the leader's snapshot of index %d; it compares it before it serves",
                self._storage.base_index,
            )
            return True
        if self._clock() - self._asked_s >= ASK_S:
            self._asked_s = self._clock()
            self._ask()
        return False

    def _replace_state(self) -> bool:
        try:
            return self._applier.replace_state()
        except CorruptLog as damage:
            logger.warning("the leader's snapshot was damaged before it was read: %s", damage)
            self._above, self._asked_s = self._storage.base_index, float("-inf")
            return False

    def agreed(self, index: int) -> bool:
        """Serve again if the state at `index` is that of a majority, and a new one; return whether it does now."""
        if self.phase is not Phase.COMPARES or index < self.index:
            return False
        self._remove_mark()
        self._node_lock.act(lambda node: node.bar(False))
        self._applier.refusal = ""
        self.phase, self.index = Phase.SERVES, 0
        logger.warning("this node's state at index %d is that of a majority; it serves again", index)
        return True

    def _ask(self) -> None:
        """Ask the leader for a snapshot."""
        above = self._above
        leader_id, leads = self._node_lock.read(lambda node: (node.leader_id, node.role is Role.LEADER))
        if leads or not leader_id:
            return  # it hands over; or there will be one
        self._node_lock.act(lambda node: node.await_snapshot(above))
        try:
            self._leader.open(leader_id)
            answer = self._leader.call(WantSnapshot(self._id, leader_id, above))
            why = "" if isinstance(answer, WantSnapshotReply) and answer.accepted else "it makes none"
        except OSError as error:
            why = str(error)
        if why and why != self._logged:
            logger.warning("could not ask member %d for a snapshot: %s", leader_id, why)
        self._logged = why

    def place(self, snapshot: SnapshotMeta) -> bool:
        """Put the snapshot that was received and finished in its place, if the log holds its last entry durably.

        Return whether it is there; if not, the leader offers it again.  Raises what `Storage.adopt` does.
        """
        with self._placing:
            if self._storage.base_index >= snapshot.index:
                return True

            def may_replace(node: Node) -> bool:
                return node.holds_durably(snapshot.index, snapshot.term)

            if not self._node_lock.read(may_replace):
                return False
            try:
                self._storage.adopt_received(snapshot)
            except (LookupError, InvalidMessage, CorruptLog, OSError) as error:
                logger.warning("the leader's snapshot of index %d was not put in place: %s", snapshot.index, error)
                return False
            self._node_lock.act(lambda node: node.compacted(snapshot))
            return True

    def close(self) -> None:
        """Close the connection to the leader; by the thread of `step`."""
        self._leader.close()

    # The mark

    @staticmethod
    def _is_marked(disk: Disk, data_dir: Path) -> bool:
        try:
            return NAME in disk.list(data_dir)
        except OSError:
            return False

    def _write_mark(self) -> None:
        if self._mark is None:
            return
        disk, data_dir = self._mark
        with suppress(OSError):  # without it a start would serve until it has compared
            path = data_dir / NAME
            for left in (path.with_name(NAME + TEMPORARY_SUFFIX), path):
                with suppress(FileNotFoundError):
                    disk.remove(left)
            create_durably(disk, path, b'{"Why":"the state differs"}\n').close()

    def _remove_mark(self) -> None:
        if self._mark is None:
            return
        disk, data_dir = self._mark
        with suppress(OSError):
            disk.remove(data_dir / NAME)
            disk.sync_directory(data_dir)
