"""Collect the numbers of one running member from its parts, whenever somebody asks."""

import threading
from collections.abc import Callable

from raft.core.node import Node, Role
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import LeaderState, NodeLock
from raft.engine.proposals import Proposals
from raft.engine.replication import Peers
from raft.metrics import MemberMetrics
from raft.repair.healing import Healing
from raft.storage.log_store import Storage


class MetricsCollector:
    """Collects MemberMetrics.  Thread-safe; it takes the engine's lock for a moment, and asks the disk for its room."""

    def __init__(
        self,
        node_lock: NodeLock,
        contact: LeaderContact,
        storage: Storage,
        peers: Peers,
        proposals: Proposals,
        *,
        applied: Callable[[], int],
        live_bytes: Callable[[], int],
        compactions: Callable[[], int],
        healing: Healing,
        state_mismatches: Callable[[], dict[int, bool]] = dict,
    ) -> None:
        """`applied()`: the last applied index; `live_bytes()`: of a log without garbage.

        `state_mismatches()`: for each member that was compared, whether its state differs.
        """
        self._state_mismatches = state_mismatches
        self._healing = healing
        self._node_lock = node_lock
        self._contact = contact
        self._storage = storage
        self._peers = peers
        self._proposals = proposals
        self._applied = applied
        self._live_bytes = live_bytes
        self._compactions = compactions
        self._lock = threading.Lock()
        self._leader_changes = 0  # under the lock

    def leader_state_changed(self, before: LeaderState, after: LeaderState) -> None:
        """Count a leader that was not known before, or leads in a new term; any thread."""
        if after[2] and before[1:] != after[1:]:
            with self._lock:
                self._leader_changes += 1

    def collect(self) -> MemberMetrics:
        """Return the numbers as they are now."""
        term, commit_index, is_leader, last_contact_s = self._node_lock.read(self._look)
        return MemberMetrics(
            term=term,
            commit_index=commit_index,
            applied_index=self._applied(),
            is_leader=is_leader,
            leader_changes=self._leader_changes,
            log_fsync=self._storage.fsync_durations,
            append=self._peers.append_durations.copy(),
            last_contact_s=last_contact_s,
            proposals=self._proposals.outcomes(),
            log_bytes=self._storage.bytes_on_disk,
            log_live_bytes=self._live_bytes(),
            compactions=self._compactions(),
            disk_free_bytes=self._storage.free_bytes(),
            state_mismatches=self._state_mismatches(),
            scrub_bytes=self._healing.scrub.bytes_total,
            scrub_last_success=self._healing.scrub.progress.last_end,
            damage_found=self._healing.repairer.found_count,
            damage_mended=self._healing.repairer.mended_count,
        )

    def _look(self, node: Node) -> tuple[int, int, bool, dict[int, float]]:
        is_leader = node.role is Role.LEADER
        if is_leader:
            contact_s = {id: (node.clock_ms - progress.contact_ms) / 1000 for id, progress in node.progress.items()}
        elif node.leader_id:
            contact_s = {node.leader_id: self._contact.age_s(node)}
        else:
            contact_s = {}
        return node.current_term, node.commit_index, is_leader, contact_s
