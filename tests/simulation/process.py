"""One life of a member: what `raft/engine/driver.py` and the parts around it do with threads, done in one.

The Node, the Storage, the Proposals, the Sessions and the chat's state are the real ones.  Here is what a Ready goes
through: a write takes time, during which Readys gather for the next one; `messages_after` wait for it; what is applied
is durable, and comes from a document, from memory or from the disk.  `peers.py`, `endpoint.py`, `forwarding.py` and
`keeping.py` stand for the engine's parts of about these names.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from chat.commands import LEVEL, decode
from chat.commands.cluster import Expire
from chat.services.post_cache import read_posts
from chat.state.machine import ChatState
from chat.state.room import Page
from raft.cluster.member import make_node
from raft.core.boots import is_of_older_copy, since_recorded
from raft.core.configuration import Configuration, decode_configuration
from raft.core.entries import command_of_verified
from raft.core.node import Ready, Role
from raft.core.raft_messages import Command, Entry, HardState, Kind, Message, Reply
from raft.engine.applier import LOST_TRIES
from raft.engine.clocks import Clocks, follow_leap, settle
from raft.engine.node_lock import NodeLock
from raft.engine.state_machine import Replicated
from raft.errors import (
    ChangeRefused,
    CorruptLog,
    DiskFailed,
    DiskFull,
    NotLeader,
    RaftError,
    StartRefused,
)
from raft.rpc.calls import Sender
from raft.storage.identity import INCARNATION_BYTES, load_or_create, save
from raft.storage.log_store import Storage
from tests.simulation.digests import Digests, Lock
from tests.simulation.disk import Died
from tests.simulation.endpoint import Endpoint
from tests.simulation.expiring import Expiring
from tests.simulation.forwarding import Forwarding
from tests.simulation.healing import Healing
from tests.simulation.invariants import Violation
from tests.simulation.keeping import Housekeeping
from tests.simulation.machine import DIRECTORY, Machine, snapshot_of
from tests.simulation.notices import Notices
from tests.simulation.peers import Peers

if TYPE_CHECKING:
    from chat.replica import Replica
    from tests.simulation.world import World

KEPT_BYTES = 500  # of a reserve, for terms and votes
APPLY_BYTES_MAX = 2_000  # in one batch: small, so that there are several
DIGEST_EVERY = 32  # entries
FULL_RETRY_MS = 20.0  # between two tries to write to a full disk
FUSE_MAX = 8  # operations; a write has three, and one that begins a segment has more

APPLY_RETRY_MS = 50.0  # before an entry that is damaged is read again

T = TypeVar("T")


class DamagedRead(LookupError):
    """A record is damaged here; it is being mended, and the client asks again."""


class Process:
    """Booted by its constructor.  Raises DiskFailed or StartRefused, as the real start does, or Died."""

    def __init__(self, machine: Machine, world: "World") -> None:
        self.alive = True
        self.held: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None
        self.id = machine.id
        self.machine = machine
        self.world = world
        self.last_applied = 0
        self.settled_voters: tuple[int, ...] = ()  # whose clocks count
        self.settled_ms = -1.0  # when what was heard was last taken in, by the observer's clock
        self.settled_heard_ms: dict[int, float] = {}  # by member: of what was taken in, when it was heard
        self.clocks = Clocks(self.id, lambda: self.wall_us, lambda: self.now_s)
        self.state = ChatState()
        self.replicated = Replicated(self.state)
        self._is_unsaved = False
        self._boot()
        self._commit_index = 0
        self._applying = False
        self._damaged_tries = 0  # to apply an entry that is damaged
        self.is_frozen = False  # its state differs: nothing more is applied to it
        self._pending: list[Ready] = []
        self._flushing = False
        self._writing: list[Ready] = []
        self._writes: deque[Callable[[], None]] = deque()  # what is left to be done of that
        self._standing = (self.node.role, self.node.current_term, self.node.leader_id)
        self.forwarding = Forwarding(self, self._identity.boot)
        self.endpoint = Endpoint(self)
        self.peers = Peers(self)
        self.lock: NodeLock = cast(NodeLock, Lock(self))
        self.digests = Digests(self)
        self.notices = Notices(self)
        self.housekeeping = Housekeeping(self)
        self.expiring = Expiring(self)
        self.healing = Healing(self) if world.rot.is_on else None

    def _boot(self) -> None:
        machine, scenario, disk = self.machine, self.world.scenario, self.machine.disk
        rng = Random(machine.rng.getrandbits(64))
        identity = load_or_create(disk, DIRECTORY, self.id, self._random_bytes)
        machine.note_boot(identity.boot)
        self.storage = Storage.open(
            disk,
            DIRECTORY,
            identity.cluster_id,
            must_exist=bool(identity.founders),
            segment_bytes=scenario.segment_bytes,
        )
        if not identity.founders and not identity.cluster_id:
            identity = self.world.formed(identity)
            save(disk, DIRECTORY, identity)
            self.storage.set_cluster_id(identity.cluster_id)
        recovered = self.storage.recovered
        base = recovered.snapshot
        found = snapshot_of(base, self.world.invariants.committed) if base else []
        found += self._found(len(found) + 1)
        machine.note_start(recovered.hard_state, found, base.index if base else 0)
        self.world.counts["torn tails cut"] += len(recovered.reports)
        self._identity = identity
        boots = identity.boots if scenario.records_starts else ()
        client_url = f"http://client-{self.id}"
        self.sender = Sender(self.id, identity.incarnation, identity.cluster_id, client_url, LEVEL, boots)
        self.node = make_node(identity, recovered, scenario.settings, rng)

    def _found(self, first: int) -> list[Entry]:
        """The log from there on, as this start has found it: of what is damaged it must know what it was."""
        recovered, reader = self.storage.recovered, self.storage.reader
        try:
            return list(reader.replay(first, recovered.last_index))
        except CorruptLog:
            if not self.world.rot.is_rotten(self.machine):
                raise
        holes, found = dict(recovered.holes), list[Entry]()
        for index in range(first, recovered.last_index + 1):
            try:
                found += reader.replay(index, index)
            except CorruptLog:
                term = self.storage.term_of(index)
                if holes.get(index, term) != term:
                    raise Violation("holes", f"entry {index} is of term {term}, or of {holes[index]}") from None
                found.append(self.world.invariants.entry(self.machine, index, term))
                self.world.counts["entries lost in a start"] += 1
        return found

    def _random_bytes(self, size: int) -> bytes:
        rng = self.machine.boots_rng
        return incarnation(self.id, size) if rng is None or size == INCARNATION_BYTES else rng.randbytes(size)

    def start(self) -> None:
        """Take part from now on."""
        self.world.invariants.check_configuration(self.machine)
        own = self.sender
        boot = max(own.boots, default=0)
        self.enter(self.node.identified, self.id, own.incarnation, own.advertise, own.level, boot)
        self.schedule(self.world.rng.random() * self.world.scenario.tick_ms, self._tick)
        if self.machine.disk.is_full:
            self.report_room()
        if self.healing is not None:
            self.healing.start()

    # What the world does with it

    def do(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        """An event of this process."""
        try:
            act(*args)
        except (DiskFailed, StartRefused) as error:
            self.world.broken(self, error)
        except Died:
            self.world.died(self)
        except Violation:
            raise
        except Exception as error:
            raise Violation("believable", f"member {self.id}: {error!r}") from error

    def kill(self) -> None:
        """It ends now, and what it was writing is written in part, in full or not at all."""
        if self._writing and self.world.rng.random() < 0.8:
            self.machine.disk.fuse = self.world.rng.choice([0, 1, 2, 2, 2, 3, FUSE_MAX])
            try:
                self._write(self._writing)
            except (Died, DiskFailed, DiskFull):
                self.world.counts["writes cut short"] += 1
            self.machine.disk.fuse = -1
        self.die()

    def die(self) -> None:
        """It is gone, and tidies nothing up."""
        self.alive = False
        if self.last_applied and not self.digests.is_changed:
            self.world.invariants.state(self.machine, self.last_applied, self.digest())
        self.housekeeping.die()
        if self.healing is not None:
            self.healing.die()

    def pause(self) -> None:
        """SIGSTOP."""
        self.held = []

    def resume(self) -> None:
        """SIGCONT: all that waited happens at once."""
        held, self.held = self.held or [], None
        self.do(self.world.lagging_leaders.woken, (self,))
        for act, args in held:
            if self.alive:
                self.do(act, args)

    def schedule(self, delay_ms: float, act: Callable[..., object], *args: object) -> None:
        """Have it done in so many milliseconds, if it lives."""
        self.world.schedule.after_for(self, delay_ms, act, *args)

    @property
    def now_s(self) -> float:
        """By its own steady clock."""
        return self.machine.steady_ms(self.world.schedule.now_ms) / 1000

    @property
    def wall_us(self) -> int:
        """By its own idea of the date."""
        return self.machine.wall_us(self.world.schedule.now_ms)

    # The lock

    def enter(self, act: Callable[..., T], *args: object) -> T:
        """Give the node an input and carry out its Ready, as `raft/engine/node_lock.py` does.  Passes on RaftErrors."""
        node, machine, world = self.node, self.machine, self.world
        led_in = node.current_term if node.role is Role.LEADER else 0
        last_index = len(machine.log)
        error: RaftError | None = None
        world.inputs += 1
        try:
            result = act(*args)
        except RaftError as raised:
            error = raised
        ready = node.ready()
        machine.note_ready(ready, world.invariants.committed)
        world.invariants.check(machine, ready, led_in, last_index)
        if ready.entries and node.role is Role.LEADER:
            world.truth.stamped(self, ready.entries)
        world.schedule.digest = hash((world.schedule.digest, node.current_term, node.commit_index, len(machine.log)))
        if world.tracing:
            world.trace(f"{self.id} {getattr(act, '__name__', act)}{args} -> {node.role.value} {ready}")
        self._carry_out(ready)
        if (node.role, node.current_term, node.leader_id) != self._standing:
            self._standing_changed()
        if error is not None:
            raise error
        return result

    def _carry_out(self, ready: Ready) -> None:
        if ready.hard_state is not None or ready.messages_after or ready.entries:
            self._pending.append(ready)
            self.flush_soon()
        self.forwarding.carry_out(ready)
        self._send(ready.messages, after_write=False)
        if ready.commit_index > self._commit_index:
            self._commit_index = ready.commit_index
            self._apply_soon()

    def _standing_changed(self) -> None:
        node = self.node
        (_, term, _), self._standing = self._standing, (node.role, node.current_term, node.leader_id)
        if node.leader_id and (node.current_term, node.leader_id) != (term, 0):
            self.forwarding.leader_changed()
        if node.role is Role.LEADER:
            self.world.lagging_leaders.elected(self)

    # The flusher

    def flush_soon(self) -> None:
        """There is something to propose or to write."""
        if not self._flushing:
            self._flushing = True
            self.schedule(0, self._flush)

    def _flush(self) -> None:
        if self.forwarding.to_propose:
            self.forwarding.propose_here()
        batch, self._pending = self._pending, []
        if any(ready.writes for ready in batch):
            self._writing = batch
            delay_ms = self.world.sync_ms(self.machine)
            if delay_ms:
                self.schedule(delay_ms, self._written)
                return
        self._written(batch)

    def _written(self, batch: Sequence[Ready] = ()) -> None:
        batch = batch or self._writing
        if self._writing:
            try:
                hard_state = self._write(batch)
            except DiskFull:
                self._run_out(batch)
                return
            self._writing = []
            self.machine.note_written(hard_state, batch[-1].sequence)
            self.enter(self.node.persisted, batch[-1].sequence)
        for ready in batch:
            self._send(ready.messages_after, after_write=True)
        self._flushing = False
        if self._pending or self.forwarding.to_propose:
            self.flush_soon()

    def _run_out(self, batch: Sequence[Ready]) -> None:
        """Go to the reserve, or try again later."""
        self.world.counts["writes without room"] += 1
        given = self.machine.disk.give_up_reserve()
        self.report_room()
        self.schedule(0 if given else FULL_RETRY_MS, self._written, batch)

    def report_room(self) -> None:
        """Tell the core what the disk takes."""
        disk = self.machine.disk
        self.enter(self.node.set_room, max(0, disk.room - KEPT_BYTES) if disk.is_full else None)

    def _write(self, batch: Sequence[Ready]) -> HardState:
        """What `raft/engine/group_commit.py` does with the disk; the hard state that is on it then.

        Raises DiskFull: called again it goes on from there.
        """
        if not self._writes:
            self._writes.extend(self._writes_of(batch))
        while self._writes:
            self._writes[0]()
            self._writes.popleft()
        return [ready.hard_state for ready in batch if ready.hard_state is not None][-1]

    def _writes_of(self, batch: Sequence[Ready]) -> Iterator[Callable[[], None]]:
        pending: list[Ready] = []
        for ready in batch:
            if ready.snapshot is not None:
                yield partial(self._append, tuple(pending))
                yield partial(self._install, ready)
                pending.clear()
            pending.append(ready)
        yield partial(self._append, tuple(pending))

    def _install(self, ready: Ready) -> None:
        assert ready.snapshot is not None
        assert ready.hard_state is not None
        self.machine.unsure.append(ready.hard_state)
        self.storage.install(ready.snapshot, ready.hard_state)
        self.world.counts["snapshots installed"] += 1

    def _append(self, batch: Sequence[Ready]) -> None:
        hard_states = [ready.hard_state for ready in batch if ready.hard_state is not None]
        if hard_states:
            self.machine.unsure.append(hard_states[-1])
            self.storage.append(hard_states[-1], [entry for ready in batch for entry in ready.entries])

    # The applier

    def _apply_soon(self) -> None:
        if not self._applying:
            self._applying = True
            self.schedule(self.world.apply_ms(), self._apply)

    def _apply(self) -> None:
        self._applying = False
        try:
            self._apply_all()
            self._damaged_tries = 0
        except CorruptLog as damage:
            self._cannot_apply(damage)

    def _cannot_apply(self, damage: CorruptLog) -> None:
        """Wait for an entry that is damaged, or for another state, as the applier does."""
        if self.healing is None:
            raise damage
        if damage.indexes:
            self.world.counts["applying that met damage"] += 1
            self.healing.note(damage)
            self._damaged_tries += 1
            if self._damaged_tries % LOST_TRIES == 0 and self.node.leader_id:
                self.lost_state(damage)
            self._applying = True
            self.schedule(APPLY_RETRY_MS, self._apply)
        else:
            self.lost_state(damage)

    def lost_state(self, damage: CorruptLog) -> None:
        """The state document is damaged: as `raft/cluster/member.py` does."""
        self.world.rot.met(self, damage)
        if self.node.configuration.voters == (self.id,):
            raise damage
        self.world.counts["states lost"] += self.digests.set_aside.begin(0, f"lost its state ({damage})")

    def _apply_all(self) -> None:
        if self.is_frozen:
            return
        if self._commit_index and (not self.last_applied or self.last_applied < self.storage.base_index):
            self._restore()
        while self.last_applied < self._commit_index:
            answers = []
            for entry in self._committed():
                if answer := self._apply_one(entry):
                    answers.append(answer)
                if not self.alive:
                    return  # that entry removed it
            for done, result in answers:
                done(result)
        self.forwarding.answer_reads()

    def replace_state(self) -> bool:
        """What the applier does with a state that differs, once the base is newer."""
        if self.storage.base_index <= self.last_applied or self._commit_index < self.storage.base_index:
            return False
        self._restore()
        self.is_frozen = self.last_applied < self.storage.base_index
        self._apply_soon()
        return not self.is_frozen

    def _restore(self) -> None:
        found = self.storage.documents(self._commit_index)
        if found is None or found.meta.index <= self.last_applied:
            return
        self.replicated.restore(found.meta, found.lines)
        self.last_applied = found.meta.index
        self.digests.restored(found.meta.time)
        self.world.counts["states restored"] += 1
        self.world.invariants.state(self.machine, self.last_applied, self.digest())
        self._configuration_applied(self.node.committed_configuration)

    def _committed(self) -> Sequence[Entry]:
        first, last = self.last_applied + 1, self._commit_index
        entries = self.node.log.slice(first, last, APPLY_BYTES_MAX)
        if entries is not None:
            return entries
        read = self.storage.reader.read_entries
        try:
            return read(first, last, APPLY_BYTES_MAX)
        except CorruptLog as damage:
            if not damage.indexes or damage.indexes[0] <= first:
                raise
            return read(first, damage.indexes[0] - 1, APPLY_BYTES_MAX)

    def _apply_one(self, entry: Entry) -> tuple[Callable[[object], None], object] | None:
        if entry.kind is Kind.CONFIGURATION:
            self._configuration_applied(decode_configuration(entry.body))
        expiring = self._expiring(entry)
        admitted, result = self.replicated.apply(entry)
        done = self.forwarding.proposals.answered(entry.id) if admitted and entry.id is not None else None
        self.last_applied = entry.index
        self.digests.applied(entry)
        invariants = self.world.invariants
        invariants.applied(self.machine, entry, admitted, result)
        if expiring is not None and admitted:
            self.world.truth.expired(self, *expiring)
        if entry.index % DIGEST_EVERY == 0 and not self.digests.is_changed:
            invariants.state(self.machine, entry.index, self.digest())
        return (done, result) if done else None

    def _expiring(self, entry: Entry) -> tuple[Expire, dict[str, tuple[list[int], int]]] | None:
        """What it may let go of, where it was applied nowhere yet."""
        if entry.index <= self.world.invariants.applied_index or b'"expire"' not in entry.body:
            return None
        command = decode(entry.body)
        return (command, self.world.truth.expires(self, command)) if isinstance(command, Expire) else None

    def digest(self) -> str:
        """Of all that is replicated: equal on members that applied the same log."""
        return sha256(b"\n".join(self.replicated.document())).hexdigest()

    def _configuration_applied(self, configuration: Configuration) -> None:
        if configuration.cluster_id and configuration.cluster_id != self._identity.cluster_id:
            self._identity = replace(self._identity, cluster_id=configuration.cluster_id, joining=False)
            self.sender = replace(self.sender, cluster_id=configuration.cluster_id)
            self._keep_identity()
        if self.id in configuration.removed:
            self.world.removed(self)
        else:
            self._follow_recorded_boot(configuration)

    def _follow_recorded_boot(self, configuration: Configuration) -> None:
        own = configuration.members.get(self.id)
        if own is None or not own.boot:
            return
        if is_of_older_copy(self.sender.boots, own.boot):
            self.end_older("its own log says so")
        elif (boots := since_recorded(self.sender.boots, own.boot)) != self.sender.boots:
            self._identity = replace(self._identity, boots=boots)
            self._keep_identity()
            self.sender = replace(self.sender, boots=boots)

    def end_older(self, why: str) -> None:
        """It was told, or has found out, that it runs on an older copy: it ends, and never starts again."""
        self.world.invariants.ended_as_older(self.machine, why)
        self._identity = replace(self._identity, refused=why)
        self._keep_identity()
        self.world.ended_as_older(self, why)

    def _keep_identity(self) -> None:
        """Save it, on a full disk at a later tick."""
        try:
            save(self.machine.disk, DIRECTORY, self._identity)
        except DiskFull:
            self._is_unsaved = True
        else:
            self._is_unsaved = False
            self.storage.set_cluster_id(self._identity.cluster_id)

    # The network: what this member sends

    def _send(self, messages: Sequence[Message], *, after_write: bool) -> None:
        for message in messages:
            self.world.invariants.sent(self.machine, message, after_write=after_write)
            if isinstance(message, Reply):
                self.endpoint.answer(message)
            else:
                self.peers.send(message)

    # What clients see

    def commands(self, indexes: Sequence[int]) -> list[Command]:
        """As `chat.replica.Replica` has it, for pages."""
        return list(map(command_of_verified, self.storage.reader.read_many(indexes), indexes))

    def mended(self, damage: CorruptLog) -> bool:
        """As `chat.replica.Replica` has it; nobody waits here, so the client is to ask again."""
        if self.healing is None:
            raise damage
        self.healing.note(damage)
        self.world.counts["reads that met damage"] += 1
        return False

    @property
    def is_writing(self) -> bool:
        """Return whether a batch is on its way to the disk."""
        return bool(self._writing)

    def shown(self, page: Page) -> list[bytes]:
        """The posts of a page, from the log.  Raises LookupError: a snapshot is about to take the state's place."""
        try:
            return read_posts(page, cast("Replica", self))
        except CorruptLog as damage:
            self.mended(damage)
            raise DamagedRead from damage
        except LookupError:
            if self.last_applied < self.storage.base_index:
                raise
            raise Violation("readable", f"a page that member {self.id} shows is not in its log") from None

    # The tick

    def _tick(self) -> None:
        self.schedule(self.world.scenario.tick_ms / max(self.machine.rate, 0.01), self._tick)
        if self._is_unsaved:
            self._keep_identity()
        self.settled_voters = self.node.configuration.voters
        self.settled_ms = self.world.schedule.now_ms
        self.settled_heard_ms = dict(self.notices.heard_ms)
        settle(self.clocks, self.node)
        self.enter(self.node.tick, self.machine.steady_ms(self.world.schedule.now_ms), self.clocks.stamp())
        if self.clocks.due_leap is not None:
            self.enter(self._follow_leap)

    def _follow_leap(self) -> None:
        self.world.counts["leaps followed"] += self.node.role is Role.LEADER
        follow_leap(self.clocks, self.node)
        self.forwarding.tick()

    # What the world asks of a leader

    def ask_leader(self, act: Callable[..., object], *args: object) -> bool:
        """A change or a transfer; whether it was taken."""
        try:
            self.enter(act, *args)
        except (NotLeader, ChangeRefused):
            return False
        return True


def incarnation(id: int, size: int) -> bytes:
    """What stands for the random bytes made with a data directory: no directory is ever made twice."""
    return id.to_bytes(size, "big")
