"""RunningMember: the parts of the engine put together, for the chat and for the peers.

RunningMember is the Replica of chat/replica.py and the Engine of raft/rpc/endpoint.py.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from raft.backup.spool import Backups, Runner, SpoolFile
from raft.cluster.admin import Administration
from raft.cluster.leader_watch import LeaderWatch
from raft.cluster.member_metrics import MetricsCollector
from raft.cluster.member_reports import MemberReports, Report
from raft.cluster.readiness import Check, Readiness
from raft.cluster.stored_membership import configurations
from raft.compaction.policy import CHECKPOINT_BYTES, COMPACT_BYTES_MIN, LogMaintenance, Rewrite
from raft.core.configuration import Change
from raft.core.entries import command_of_verified
from raft.core.log import Log
from raft.core.node import Node, Role, Settings
from raft.core.raft_messages import (
    AppendEntries,
    Command,
    HardState,
    InstallSnapshot,
    Request,
    RequestVote,
    TimeoutNow,
)
from raft.digest.set_aside import Phase, SetAside
from raft.digest.state_digest import StateCopies
from raft.digest.watch import DigestWatch
from raft.engine.applier import Applier
from raft.engine.clocks import Clocks
from raft.engine.damage import Damage
from raft.engine.driver import Driver
from raft.engine.forwarding import Forwarder
from raft.engine.gossip import Notices
from raft.engine.leader_client import LeaderClient
from raft.engine.leader_contact import LeaderContact
from raft.engine.node_lock import LeaderState, NodeLock
from raft.engine.own_identity import OwnIdentity
from raft.engine.proposals import Proposals
from raft.engine.removal_check import RemovalCheck
from raft.engine.replication import Peers
from raft.engine.snapshot_transfer import IncomingSnapshots
from raft.engine.state_machine import StateMachine
from raft.errors import (
    ChangeRefused,
    CorruptLog,
    DiskFailed,
    DiskFull,
    Diverged,
    NotLeader,
    Overloaded,
    RaftError,
    RefusedPeer,
    StartRefused,
    Unavailable,
)
from raft.metrics import MemberMetrics
from raft.repair.base_renewal import renew_base
from raft.repair.healing import Healing
from raft.repair.repairer import WAIT_S, T
from raft.rpc.calls import (
    AcceptClock,
    ChangeMembership,
    FetchEntries,
    Hello,
    HelloReply,
    Notice,
    Propose,
    ProposeReply,
    ReadIndex,
    ReadIndexReply,
    RecordedBoot,
    SnapshotChunk,
    SnapshotChunkReply,
    TransferLeadership,
    WantSnapshot,
    WantSnapshotReply,
)
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.codec import Answer, Call
from raft.rpc.peer_auth import (
    check_level,
)
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import Addresses
from raft.storage.disk import Disk
from raft.storage.identity import Identity
from raft.storage.index_file import log_remade
from raft.storage.log_store import Recovered, Storage
from raft.storage.reserve import Reserve

logger = logging.getLogger(__name__)

POLL_S = 0.01  # between two looks for a leader, in a thread that may wait
CARE_TICKS = 8  # between two looks at what can wait: half a second, or less


def make_node(identity: Identity, recovered: Recovered, settings: Settings, rng: Random) -> Node:
    """Return the core as it was when this member stopped; the founders are its first configuration."""
    base = recovered.snapshot
    known = recovered.hard_state
    return Node(
        identity.id,
        log=Log(recovered.term_runs, recovered.last_index, base.index if base else 0, base.term if base else 0),
        hard_state=HardState(known.current_term, known.voted_for, min(known.commit_index, recovered.last_index)),
        configurations=configurations(identity, base, recovered.configurations),
        rng=rng,
        settings=settings,
        last_time=recovered.last_time,
        snapshot=base,
        generation=identity.generation,
    )


class RunningMember:
    """A running member: `start`, then it serves until `stop`, or until it calls `on_end(why, exit code)` itself."""

    def __init__(
        self,
        node: Node,
        storage: Storage,
        machine: StateMachine,
        identity: Identity,
        *,
        advertise: str,
        level: int,
        save_identity: Callable[[Identity], None],
        on_end: Callable[[str, int], None],
        rewrite: Rewrite | None = None,
        backups: Runner | None = None,
        compact_bytes: int = COMPACT_BYTES_MIN,
        listed: Mapping[int, str] | None = None,
        reserve: Reserve | None = None,
        frees: Callable[[bytes], bool] = lambda command: False,
        damage: Damage | None = None,
        on_notice: Callable[[int, bytes], None] = lambda member, body: None,
        version: str = "",
        secret: ClusterSecret | None = None,
        certificates: PeerCertificates | None = None,
        is_guarded: bool = True,
        mark: tuple[Disk, Path] | None = None,
        on_set_aside: Callable[[int], None] = lambda index: None,
        scrub_bytes_per_s: int = 0,
    ) -> None:
        """Put the parts together.

        `level`: of this program.  `damage`: the damage known already.  `frees(command)`: the command frees space on a
        full disk, for which `reserve` is.  `listed`: id -> URL of --cluster, tried if the membership's does not
        answer.  `rewrite` makes compactions (child_process.py); None: the log is never compacted.  `backups` runs the
        children that make backups; None: none are made.  `on_notice` is
        called with (member, what its application tells), by any thread; it must not block.  `version`: of this program,
        for operators.  `secret`: the cluster's, which the others have to prove.  `certificates`: of
        peers, to connect with.  `is_guarded`: other nodes may be on other machines (Administration).
        `mark`: the disk and the directory where it is kept that this member is set aside.
        `on_set_aside` is called with the last applied index when it is; it must not block.
        `scrub_bytes_per_s`: at most so much of the log is read by itself; 0: none.

        Raises StartRefused: the log may hold entries beyond the level; CorruptLog: the state is lost, and no other
        member can have it.
        """
        lost = storage.recovered.base_damage if storage.recovered.needs_snapshot else None
        if lost is not None and node.configuration.voters == (node.id,):
            raise lost
        check_level(node.configuration.level, level)
        self.id = node.id
        self._storage = storage
        self._advertise = advertise
        self._on_end = on_end
        self._ended = threading.Lock()  # taken once, by the thread that ends the member
        self._stopping = threading.Event()
        self._ticks = 0  # since the last look at what can wait
        self._node_lock = node_lock = NodeLock(node, self._leader_state_changed, self._broken)
        self._own = own = OwnIdentity(
            identity, advertise=advertise, level=level, node_lock=node_lock,
            name_cluster=storage.set_cluster_id, save=save_identity, end=self._end, stopping=self._stopping,
        )  # fmt: skip
        self.sender, self.admit = own.sender, own.admit  # for the endpoint
        settings, timeout_ms = node.settings, node.settings.election_timeout_ms
        self._addresses, self._damage = Addresses(listed, secret, certificates), damage or Damage()
        proposals = Proposals(self.id, identity.boot)
        self._contact, self._clocks = LeaderContact(), Clocks(self.id)
        self._copies = StateCopies()
        self._healing = Healing(
            node_lock, storage, own, self._addresses, self._damage,
            end_segment=lambda: self._driver.group_commit.end_segment(),
            ask_for_base=self._ask_for_base, scrub_bytes_per_s=scrub_bytes_per_s,
            make_base=lambda pause: renew_base(storage, self._applier, self._healing.records, pause),
            needed_among=lambda indexes: self._applier.needed_among(indexes),
        )  # fmt: skip
        self._applier = Applier(
            node_lock, storage, machine, proposals, own.follow, self._copies, self._healing.mended, self._lost_state
        )
        self._peers = Peers(
            node_lock, storage, own, self._contact, self._addresses, self._healing.mended, self._healing.written,
            election_timeout_ms=timeout_ms, append_bytes_max=settings.append_bytes_max,
        )  # fmt: skip
        self._driver = Driver(
            node_lock, storage, self._applier, self._peers, proposals, self._contact, self._clocks,
            heartbeat_ms=settings.heartbeat_ms, on_tick=self._ticked, on_broken=self._broken,
            reserve=reserve, frees=frees,
        )  # fmt: skip
        self._leader_watch = LeaderWatch(
            node_lock, self._addresses, self._driver.tick,
            heartbeat_ms=settings.heartbeat_ms, election_timeout_ms=timeout_ms,
        )  # fmt: skip
        self.connection_ended = self._leader_watch.connection_ended  # for the endpoint
        self._timeout_s = timeout_ms / 1000
        self._forwarder = Forwarder(
            self.id, node_lock, proposals, self._applier, self._driver.group_commit, self._new_leader, frees
        )
        self._reserve = reserve
        storage.ask_room(self._driver.group_commit.is_full)
        self._readiness = Readiness(
            node_lock, self._contact, self._damage, applied=lambda: self.last_applied,
            is_full=self._driver.group_commit.is_full, write_age_s=lambda: storage.write_age_s,
            election_timeout_s=self._timeout_s,
            is_set_aside=lambda: self.is_set_aside,
        )  # fmt: skip
        self._administration = Administration(
            self.id, node_lock, self._applier, self._new_leader, self._stopping, self._clocks,
            election_timeout_s=self._timeout_s, is_guarded=is_guarded,
        )  # fmt: skip
        self._removal_check = RemovalCheck(
            self.id, node_lock, own.sender, own.heard, lambda why: self._end(why, 0), self._addresses,
            timeout_s=self._timeout_s,
        )  # fmt: skip
        self._version = version
        self._reports = MemberReports(self._told_report)
        self._notices = Notices(
            node_lock, own, on_notice, self._heard, self._addresses,
            self._reports.encode_own, self._reports.heard,
        )  # fmt: skip
        self._incoming_snapshots = IncomingSnapshots(storage)
        self._snapshot_refused = ""  # why, as last logged
        self._log_maintenance = self._make_log_maintenance(machine, rewrite, compact_bytes) if rewrite else None
        maintenance = self._log_maintenance
        self._backups = self._make_backups(machine, backups) if backups else None
        self._set_aside = SetAside(
            self.id, node_lock, self._applier, storage, self._new_leader(),
            maintenance.hold if maintenance else lambda is_held: None, mark, on_set_aside,
        )  # fmt: skip
        self._watch = DigestWatch(
            self.id, self._applier, self._copies, self._set_aside,
            lambda: node_lock.read(lambda node: node.configuration), self._reports.of,
            self._notices.ask_all,
        )  # fmt: skip
        self._metrics = MetricsCollector(
            node_lock, self._contact, storage, self._peers, proposals, applied=lambda: self.last_applied,
            live_bytes=lambda: maintenance.live_bytes() if maintenance else machine.live_bytes,
            compactions=lambda: maintenance.compactions if maintenance else 0,
            state_mismatches=lambda: self._watch.mismatches(),
            healing=self._healing,
        )  # fmt: skip

    def _heard(self, member: int, time: int, asked_s: float) -> None:
        """Take in another member's clock, from an answer to a notice."""
        self._clocks.heard(member, time, asked_s)
        self._healing.repairer.heard(member)

    def _lost_state(self, damage: CorruptLog) -> bool:
        """Get the state from the leader, in place of one that is damaged, or lacks an entry that no member has.

        Return False if no other member can lead.
        """
        voters = self._node_lock.read(lambda node: node.configuration.voters)
        if voters == (self.id,):
            return False
        self._set_aside.begin(0, f"lost its state ({damage.file}: {damage.what} at byte {damage.offset})")
        return True

    def _ask_for_base(self) -> None:
        if self._log_maintenance is not None:
            self._log_maintenance.ask_for_base()

    def _make_log_maintenance(self, machine: StateMachine, rewrite: Rewrite, compact_bytes: int) -> LogMaintenance:
        return LogMaintenance(
            self._node_lock, self._storage, self._applier, machine, rewrite,
            compact_bytes=compact_bytes, checkpoint_bytes=min(compact_bytes, CHECKPOINT_BYTES),
            is_full=self._driver.group_commit.is_full, healing=self._healing,
        )  # fmt: skip

    def _make_backups(self, machine: StateMachine, runner: Runner) -> Backups:
        maintenance = self._log_maintenance
        return Backups(
            self._storage.data_dir, runner,
            applied=lambda: self.last_applied, generation=lambda: self.generation,
            live_bytes=lambda: maintenance.live_bytes() if maintenance else machine.live_bytes,
            free_bytes=self._storage.free_bytes, file_names=self._storage.file_names,
        )  # fmt: skip

    def _new_leader(self) -> LeaderClient:
        return LeaderClient(self._node_lock, self._own.sender, self._timeout_s, self._addresses)

    # Life

    def start(self) -> int:
        """Take part.  Return the index up to which the state machine has to be applied before it is read."""
        committed = self._node_lock.read(lambda node: node.commit_index)
        own = self._own.sender()
        self._node_lock.act(
            lambda node: node.identified(self.id, own.incarnation, own.advertise, own.level, max(own.boots))
        )
        runs: list[tuple[str, Callable[[], None]]] = [
            ("raft-tick", partial(self._driver.run_ticks, self._stopping)),
            ("raft-flush", self._driver.group_commit.run),
            ("raft-apply", self._applier.run),
            ("raft-forward", self._forwarder.run_proposals),
            ("raft-read", self._forwarder.run_reads),
            ("raft-leader", partial(self._leader_watch.run, self._stopping)),
            ("raft-removal", partial(self._removal_check.run, self._stopping)),
            ("raft-gossip", partial(self._notices.run, self._stopping)),
            ("raft-digest", partial(self._watch.run, self._stopping)),
            *self._healing.runs(),
        ]
        if self._reserve is not None:
            runs.append(("raft-reserve", partial(self._reserve.maintain, self._stopping, self._reserve_tried)))
        if self._log_maintenance is not None:
            runs.append(("raft-maintenance", partial(self._log_maintenance.run, self._stopping)))
        self._threads = [
            threading.Thread(target=self._guard, args=(run,), name=name, daemon=True)  # may hang in a system call
            for name, run in runs
        ]
        log_remade(self._storage.remade_indexes)
        recovered = self._storage.recovered
        if recovered.needs_snapshot and recovered.base_damage is not None:
            self._lost_state(recovered.base_damage)  # before anything is applied
        self._healing.start()
        for thread in self._threads:
            thread.start()
        return committed

    def hand_over(self, timeout_s: float) -> None:
        """Transfer leadership if this member leads, so that the others need not notice its absence first.

        If a transfer was given up because the machine was too busy, ask for it again.
        """
        deadline_s = time.monotonic() + timeout_s
        next_s, has_begun = 0.0, False
        while self.leads or (has_begun and not self._node_lock.leader_id):
            now_s = time.monotonic()
            if now_s >= deadline_s or self._stopping.wait(POLL_S):
                return
            if self.leads and now_s >= next_s:
                target = self._begin_transfer()
                if target == self.id:
                    return  # the only voter
                has_begun = has_begun or target > 0
                next_s = now_s + (self._timeout_s if target else POLL_S)

    def _begin_transfer(self) -> int:
        """Return the next leader's id; 0: no member can lead at this moment."""
        try:
            return self._node_lock.act(lambda node: node.transfer_leadership())
        except (NotLeader, ChangeRefused):
            return 0

    def give_up(self) -> None:
        """Answer all who wait: Unavailable if nothing was proposed, else OutcomeUnknown."""
        self._forwarder.give_up()
        self._administration.give_up()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End all threads and close the log."""
        self._stopping.set()
        if self._backups is not None:
            self._backups.stop()
        self._healing.stop()
        self._peers.close()
        self._notices.close()
        self._copies.close()
        for part in (self._leader_watch, self._forwarder, self._driver.group_commit, self._applier):
            part.stop()
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, deadline_s - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            if self._log_maintenance is not None:
                self._log_maintenance.finish()
            self._storage.close()

    def _guard(self, run: Callable[[], None]) -> None:
        """Run a thread.  If it dies it takes the process with it, rather than leave half a member."""
        try:
            run()
        except Exception as error:  # noqa: BLE001  `_broken` logs it and ends the process
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        """End the process: the engine cannot go on."""
        if isinstance(error, DiskFailed | StartRefused):
            self._end(str(error), 1)
        else:
            logger.error("thread %s has failed", threading.current_thread().name, exc_info=error)
            self._end("an error in this program, which is logged above", 1)

    def _end(self, why: str, code: int) -> None:
        if self._ended.acquire(blocking=False):
            self._on_end(why, code)

    # Reports of the parts

    def _ticked(self) -> None:
        self._forwarder.try_again(self._driver.group_commit.refused())
        self._ticks = (self._ticks + 1) % CARE_TICKS
        if not self._ticks:
            self._peers.drop_idle()
            self._clocks.log_changes()

    def _leader_state_changed(self, before: LeaderState, after: LeaderState) -> None:
        role, term, leader_id = after
        self._metrics.leader_state_changed(before, after)
        if before[:2] != after[:2]:
            logger.info("member %d is %s in term %d", self.id, role.value, term)
        if leader_id and before[1:] != after[1:]:
            logger.info("member %d leads in term %d", leader_id, term)
            self._forwarder.leader_changed()

    def _reserve_tried(self) -> None:
        """Tell the core the room on the disk after the reserve was tried."""
        self._driver.group_commit.report_room()
        if not self._driver.group_commit.is_full():
            self._own.save_if_unsaved()

    # For the chat

    @property
    def cluster_id(self) -> str:
        """Hex digits; "" until one is committed."""
        return self._own.cluster_id

    @property
    def generation(self) -> str:
        """Hex digits that change when a sole voter starts from a copy of its directory; "" at first."""
        return self._own.generation

    @property
    def listens(self) -> bool:
        """Return whether this member, a sole voter started from a copy, still waits for a call of other members."""
        return self._node_lock.read(lambda node: node.listens)

    @property
    def level(self) -> int:
        """The level up to which all members understand what is proposed (configuration.py); it never falls.

        Raises Unavailable: it is not known here yet.
        """
        committed = self._node_lock.read(lambda node: node.committed_configuration)
        if not committed.cluster_id:  # each founder may know something else about the others
            raise Unavailable("the cluster's level is not known here yet; nothing was changed")
        return committed.level

    @property
    def leads(self) -> bool:
        """Return whether this member leads, as far as it knows."""
        return self._node_lock.leader_id == self.id

    @property
    def is_set_aside(self) -> bool:
        """Return whether this member answers no reads, because its state differs from the others'."""
        return self._set_aside.phase is not Phase.SERVES

    def agreed_time(self) -> int:
        """Return the log's time in microseconds since 1970, for what goes by age (clocks.py).

        Raises Unavailable while a majority's clocks are not known here.
        """
        return self._clocks.agreed_time()

    def accept_clock(self) -> tuple[int, int]:
        """Set the log's time to the clock's; return the log's time before and after.

        Returns once that is committed and applied here.  Raises as `change` does.
        """
        before = self._clocks.stamp()
        self._administration.accept_clock()
        return before, self._clocks.stamp()

    def contact_age_s(self) -> float:
        """Return the seconds since the last contact with a majority through a leader; infinite: never yet.

        They go on while the process is stopped or the machine sleeps.
        """
        return self._node_lock.read(self._contact.age_s)

    def tell(self, body: bytes) -> None:
        """Send `body`, up to 256 KiB, to the other members' applications, outside of the log (gossip.py); never blocks.

        Raises ValueError.
        """
        self._notices.tell(body)

    @property
    def last_applied(self) -> int:
        """The log index up to which the state machine is applied."""
        return self._applier.last_applied

    def propose(self, command: bytes, done: Callable[[object], None], *, flushes: bool = False) -> None:
        """Replicate a command; `done` gets the state machine's result, Unavailable, OutcomeUnknown or DiskFull."""
        stuck = self._driver.group_commit.stuck
        if stuck and self._node_lock.read(lambda node: node.role is Role.LEADER and not node.majority_has_room):
            done(DiskFull(stuck))
            return
        self._forwarder.propose(command, done, flushes)

    def flush(self) -> None:
        """Write what has been proposed here, unless another thread is doing so."""
        self._driver.group_commit.flush()

    def flush_soon(self) -> None:
        """Have another thread write what has been proposed here."""
        self._driver.group_commit.wake()

    def read(self, done: Callable[[RaftError | None], None], *, min_index: int = 0, stale: bool = False) -> None:
        """Confirm a read by ReadIndex (dissertation §6.4); `done(None)` once the state may be read."""
        self._forwarder.read(done, min_index, stale)

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        """Wait until the state is at `index`; return False if that takes longer."""
        return self._applier.wait_applied(index, timeout_s)

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        """Read applied commands by index, ascending, by pread.

        Raises CorruptLog: an entry is damaged, and is being mended.  A caller that may wait calls `mended`, and reads
        again.
        """
        try:
            return list(map(command_of_verified, self._storage.reader.read_many(indexes), indexes))
        except CorruptLog as error:
            self._healing.repairer.note(error)
            raise

    def backup(self, index: int, wait_s: float) -> SpoolFile | None:
        """Return a backup of the log up to `index` at least, made now if there is none; None if that takes longer.

        Damage that this meets is mended first.  Raises BackupRefused, CorruptLog, Unavailable.
        """
        if self.is_set_aside:
            raise Unavailable(self._applier.refusal)
        if self._backups is None:
            raise Unavailable("this member makes no backups")
        backups = self._backups
        return self._healing.read(lambda: backups.open(index, wait_s), WAIT_S + wait_s, elsewhere=True)

    def find_backup(self, tag: str) -> SpoolFile | None:
        """Return the backup of this tag, if it is still there."""
        return None if self._backups is None else self._backups.find(tag)

    def mended(self, damage: CorruptLog) -> bool:
        """Wait until damage is mended, for five seconds at most; return False if it is not: no member has the entry."""
        return self._healing.mended(damage)

    def read_mended(self, read: Callable[[], T], timeout_s: float = WAIT_S) -> T:
        """Return what `read` reads from the log, once all damage is mended that it meets.  For a thread that may wait.

        Raises CorruptLog: no member has what is damaged, or mending takes longer.
        """
        return self._healing.read(read, timeout_s)

    def scrub(self) -> None:
        """Begin to read all of this member's files, quickly; what is damaged is mended."""
        self._healing.scrub.begin()

    def nodes(self) -> list[str]:
        """Return the URLs where clients reach the members, this one first."""
        members = self._node_lock.read(lambda node: node.configuration).members.values()
        others = (member.advertise for member in members if member.id != self.id)
        return [url for url in (self._advertise, *others) if url]

    def ask_members(self) -> None:
        """Have `status` show the members as they are now; wait for their answers, half a second at most."""
        self._notices.ask_all()

    def status(self) -> dict[str, object]:
        """Return the body of `GET /raft`."""
        return self._node_lock.read(self._status_locked)

    def _own_report(self) -> Report:
        role, term, _ = self._node_lock.leader_state
        report: Report = {"Role": role.value, "Term": term, "LastApplied": self._applier.last_applied}
        if self._version:
            report["Version"] = self._version
        free_bytes = self._reserve.free_bytes if self._reserve is not None else None
        if free_bytes is not None:
            report["DiskFreeBytes"] = free_bytes
        return report

    def _told_report(self) -> Report:
        return {**self._own_report(), **self._watch.report()}

    def _shown_report(self, id: int) -> dict[str, object]:
        """The report of another member, without what members compare only among themselves."""
        report = self._reports.of(id)
        for name in ("StateDigests", "StateDoubt"):
            report.pop(name, None)
        return report

    def _status_locked(self, node: Node) -> dict[str, object]:
        members = []
        self._reports.forget_all_but(frozenset(node.configuration.members))
        offsets_ms = self._clocks.offsets_ms()
        for id, member in sorted(node.configuration.members.items()):
            shown: dict[str, object] = {"Id": id, "Url": member.url, "Voting": member.voting}
            shown |= {"Advertise": member.advertise, "Level": member.level}
            shown |= {**self._own_report(), "HeardMs": 0} if id == self.id else self._shown_report(id)
            if id in offsets_ms:
                shown["ClockOffsetMs"] = offsets_ms[id]
            if node.role is Role.LEADER:
                progress = node.progress.get(id)
                shown["MatchIndex"] = progress.match_index if progress else node.durable_index
                shown["LastContactMs"] = round(node.clock_ms - progress.contact_ms) if progress else 0
            members.append(shown)
        damage, scrub = self._damage.found(), self._healing.status()
        return {
            "Id": self.id,
            "Leader": node.leader_id,
            "Term": node.current_term,
            "Role": node.role.value,
            "CommitIndex": node.commit_index,
            "LastApplied": self._applier.last_applied,
            "LastIndex": node.log.last_index,
            "ClusterId": self.cluster_id,
            "Members": members,
            **({"Damage": damage} if damage else {}),
            **self._watch.status(),
            **({"Scrub": scrub} if scrub else {}),
        }

    def metrics(self) -> MemberMetrics:
        """Return the numbers of this member.  May wait for the disk to say what is free."""
        return self._metrics.collect()

    def readiness(self) -> list[Check]:
        """Return the checks of `GET /readyz`."""
        return self._readiness.checks()

    def change(self, change: Change) -> None:
        """Change the membership; return once it is committed and applied here, a promotion once the member votes.

        Raises ChangeRefused, Unavailable (nothing was proposed) or OutcomeUnknown.
        """
        self._administration.change(change)

    def transfer(self, target: int) -> None:
        """Transfer leadership to member `target`; return once it leads.  Raises as `change` does."""
        self._administration.transfer(target)

    # For the peers

    def peer_urls(self) -> list[str]:
        """Return the URLs where others look for this member: by its log, and by their answers if no leader is heard."""
        member = self._node_lock.read(lambda node: node.configuration.members.get(self.id))
        return [url for url in (member.url if member else "", self._removal_check.listed_url) if url]

    def url_of(self, member: int) -> str:
        """Return the URL of a member according to the log; "" if there is no such member.

        Raises RefusedPeer: it was removed.
        """
        newest, committed = self._node_lock.read(lambda node: (node.configuration, node.committed_configuration))
        if member in committed.removed:
            raise RefusedPeer("removed", f"member {member} was removed from cluster {self.cluster_id}")
        known = newest.members.get(member)
        return known.url if known is not None else ""

    def hello(self) -> HelloReply:
        """Return the answer to a member that looks for its cluster."""
        committed = self._node_lock.read(lambda node: node.committed_configuration)
        listed = {id: member.url for id, member in committed.members.items()}
        members = {id: member.incarnation for id, member in committed.members.items()}
        return HelloReply(listed, members, tuple(sorted(committed.removed)), committed.level)

    def serve(self, call: Call, done: Callable[[Answer], None]) -> None:
        """Answer an RPC, now or later, from any thread.  Raises InvalidMessage."""
        match call:
            case Propose():
                done(self._serve_propose(call))
                self._driver.group_commit.flush()  # after the answer, which only says that the entries were appended
            case ReadIndex():
                self._forwarder.read_for_peer(call, lambda index: done(ReadIndexReply(index)))
            case ChangeMembership():
                done(self._administration.serve_change(call))
            case TransferLeadership():
                done(self._administration.serve_transfer(call))
            case AcceptClock():
                done(self._administration.serve_accept_clock())
            case Hello():
                done(self.hello())
            case Notice():
                done(self._notices.take(call))
            case WantSnapshot():
                done(self._serve_want_snapshot(call))
            case RecordedBoot():
                self._own.take_recorded_boot(call)
            case FetchEntries():
                done(self._healing.answer(call))
            case SnapshotChunk():
                done(self._take_chunk(call))
            case RequestVote() | AppendEntries() | InstallSnapshot() | TimeoutNow():
                self._step(call, done)

    def _serve_want_snapshot(self, call: WantSnapshot) -> WantSnapshotReply:
        if self._log_maintenance is None:
            return WantSnapshotReply(False)
        try:
            self._node_lock.act(lambda node: node.want_snapshot(call.source, call.above))
        except NotLeader:
            return WantSnapshotReply(False)
        if self._storage.base_index <= call.above:
            self._log_maintenance.want(call.above)
        return WantSnapshotReply(True)

    def _step(self, call: Request, done: Callable[[Answer], None]) -> None:
        try:
            if isinstance(call, InstallSnapshot):
                self._install(call, done)
            else:
                self._driver.serve(call.request, call, done)
        except Diverged as error:
            raise self._own.end_diverged(error) from None

    def _take_chunk(self, chunk: SnapshotChunk) -> SnapshotChunkReply:
        index, term = chunk.last_included_index, chunk.last_included_term
        if self._node_lock.read(lambda node: node.holds(index, term) and not node.awaits_snapshot(index)):
            return SnapshotChunkReply(chunk.bytes_total)
        try:
            return self._incoming_snapshots.take(chunk)
        except (DiskFailed, RefusedPeer) as error:  # no failure of the log, which finds its own by itself
            if str(error) != self._snapshot_refused:
                self._snapshot_refused = str(error)
                logger.warning("refused the snapshot of index %d: %s", chunk.last_included_index, error)
            raise RefusedPeer("not_ready", str(error)) from None

    def _install(self, call: InstallSnapshot, done: Callable[[Answer], None]) -> None:
        snapshot = call.snapshot
        lacks, is_awaited = self._node_lock.read(
            lambda node: (not node.holds(snapshot.index, snapshot.term), node.awaits_snapshot(snapshot.index))
        )
        received = (lacks or is_awaited) and self._incoming_snapshots.complete(call.source, snapshot)
        if received and not lacks:
            received = self._set_aside.place(snapshot)
        try:
            self._driver.serve(call.request, replace(call, received=received), done)
        finally:
            if received:
                self._incoming_snapshots.settled(snapshot, self._node_lock.read(lambda node: node.snapshot == snapshot))

    def _serve_propose(self, call: Propose) -> ProposeReply:
        try:
            self._driver.propose_for_peer(call)
        except NotLeader as error:
            return ProposeReply(False, error.leader)
        except (Overloaded, Unavailable):
            return ProposeReply(False, self.id)
        except DiskFull:
            return ProposeReply(False, self.id, full=True)
        return ProposeReply(True, self.id)
