"""One life of a member: what `raft/driver.py` and the parts around it do with threads, done in one.

The Node, the Storage, the Proposals, the Sessions and the chat's state are the real ones.  As in the driver: a write
takes time, during which Readys gather for the next one; `messages_after` wait for it; what is applied is durable and
comes from memory or from the disk; a follower hands its clients' proposals and reads to the leader, one call at a
time; what was in vain is tried again at the next tick, or when there is another leader.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from chat.commands import LEVEL
from chat.state import ChatState
from raft.admission import check_sender
from raft.errors import (
    ChangeRefused,
    DiskFailed,
    InvalidMessage,
    NotLeader,
    Overloaded,
    RaftError,
    RefusedPeer,
    StartRefused,
    Unavailable,
)
from raft.identity import load_or_create, save
from raft.member import make_node
from raft.membership import decode_configuration
from raft.messages import (
    AppendEntries,
    Entry,
    Kind,
    Message,
    ProposalId,
    Propose,
    ProposeReply,
    ReadIndex,
    ReadIndexReply,
    Reply,
    Request,
    Sender,
)
from raft.node import Ready, Role
from raft.proposals import Proposals, Waiting
from raft.records import entry_of_verified
from raft.replicated import Replicated
from raft.storage import Storage
from raft.wire import Answer, Call
from tests.simulation.disk import Died
from tests.simulation.invariants import Violation
from tests.simulation.machine import DIRECTORY, Machine
from tests.simulation.network import Answered, Ask

if TYPE_CHECKING:
    from tests.simulation.world import World

APPLY_BYTES_MAX = 2_000  # in one batch: small, so that there are several
APPEND_TIMEOUTS = 4
DIGEST_EVERY = 32  # entries
FUSE_MAX = 8  # operations; a write has three, and one that begins a segment has more

T = TypeVar("T")
Respond = Callable[[Answer | RefusedPeer], None]


@dataclass(slots=True, eq=False)
class Read:
    """A read that waits; `done(error, index)`."""

    done: Callable[[RaftError | None, int], None]
    since_s: float
    from_peer: bool = False


class Process:
    """Booted by its constructor.  Raises DiskFailed or StartRefused, as the real start does, or Died."""

    def __init__(self, machine: Machine, world: "World") -> None:
        self.alive = True
        self.held: list[tuple[Callable[..., object], tuple[Any, ...]]] | None = None
        self.id = machine.id
        self.machine = machine
        self.world = world
        self.last_applied = 0
        self.state = ChatState()
        self._replicated = Replicated(self.state)
        self._boot()
        self._commit_index = 0
        self._applying = False
        self._pending: list[Ready] = []
        self._to_propose: list[Waiting] = []
        self._flushing = False
        self._writing: list[Ready] = []
        self._requests: dict[int, Respond] = {}  # that wait for the Node's reply
        self._lanes: dict[tuple[int, bool], _Lane] = {}
        self._to_forward: list[Waiting] = []
        self._forwarding: Ask | None = None
        self._to_read: list[Read] = []
        self._reading: Ask | None = None
        self._at_node: dict[int, list[Read]] = {}
        self._reads: list[tuple[int, list[Read]]] = []  # (index, those that wait for it)
        self._again: list[Waiting | Read] = []
        self._tokens = 0
        self._standing = (self.node.role, self.node.current_term, self.node.leader_id)

    def _boot(self) -> None:
        machine, scenario, disk = self.machine, self.world.scenario, self.machine.disk
        rng = Random(machine.rng.getrandbits(64))
        identity = load_or_create(disk, DIRECTORY, self.id, lambda size: incarnation(self.id, size))
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
        machine.note_start(recovered.hard_state, list(self.storage.replay(1, recovered.last_index)))
        self.world.counts["torn tails cut"] += len(recovered.reports)
        self._identity = identity
        self.sender = Sender(self.id, identity.incarnation, identity.cluster_id, f"http://client-{self.id}", LEVEL)
        self.node = make_node(identity, recovered, scenario.settings, rng)
        self._proposals = Proposals(self.id, identity.boot)

    def start(self) -> None:
        """Take part from now on."""
        own = self.sender
        self.enter(self.node.identified, self.id, own.incarnation, own.advertise, own.level)
        self._schedule(self.world.rng.random() * self.world.scenario.tick_ms, self._tick)

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
            hard_states, entries = _batch(self._writing)
            self.machine.disk.fuse = self.world.rng.choice([0, 1, 2, 2, 2, 3, FUSE_MAX])
            self.machine.unsure.append(hard_states[-1])
            try:
                self.storage.append(hard_states[-1], entries)
            except (Died, DiskFailed):
                self.world.counts["writes cut short"] += 1
            self.machine.disk.fuse = -1
        self.alive = False

    def pause(self) -> None:
        """SIGSTOP."""
        self.held = []

    def resume(self) -> None:
        """SIGCONT: all that waited happens at once."""
        held, self.held = self.held or [], None
        for act, args in held:
            if self.alive:
                self.do(act, args)

    def _schedule(self, delay_ms: float, act: Callable[..., object], *args: object) -> None:
        self.world.schedule.after_for(self, delay_ms, act, *args)

    @property
    def _now_s(self) -> float:
        return self.machine.steady_ms(self.world.schedule.now_ms) / 1000

    @property
    def wall_us(self) -> int:
        return self.machine.wall_us(self.world.schedule.now_ms)

    # The door

    def enter(self, act: Callable[..., T], *args: object) -> T:
        """Give the node an input and carry out its Ready, as `raft/door.py` does.  Passes on RaftErrors."""
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
        machine.note_ready(ready)
        world.invariants.check(machine, ready, led_in, last_index)
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
            self._flush_soon()
        for token, index in ready.reads:
            self._confirm(token, index)
        for token in ready.reads_lost:
            self._again += self._at_node.pop(token, [])
        self._send(ready.messages)
        if ready.commit_index > self._commit_index:
            self._commit_index = ready.commit_index
            self._apply_soon()

    def _standing_changed(self) -> None:
        node = self.node
        (_, term, _), self._standing = self._standing, (node.role, node.current_term, node.leader_id)
        if node.leader_id and (node.current_term, node.leader_id) != (term, 0):
            self._leader_changed()

    # The flusher

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._schedule(0, self._flush)

    def _flush(self) -> None:
        if self._to_propose:
            self._propose()
        batch, self._pending = self._pending, []
        if any(ready.writes for ready in batch):
            self._writing = batch
            delay_ms = self.world.sync_ms(self.machine)
            if delay_ms:
                self._schedule(delay_ms, self._written)
                return
        self._written(batch)

    def _propose(self) -> None:
        batch, self._to_propose = self._to_propose, []
        proposals = self._proposals.hand_over(batch)
        if not proposals:
            return
        try:
            self.enter(self.node.propose, proposals, self.wall_us)
        except (NotLeader, Overloaded):
            self._proposals.take_back(batch)
            self._again += batch

    def _written(self, batch: Sequence[Ready] = ()) -> None:
        batch = batch or self._writing
        if self._writing:
            hard_states, entries = _batch(batch)
            self.machine.unsure.append(hard_states[-1])
            self.storage.append(hard_states[-1], entries)
            self._writing = []
            self.machine.note_written(hard_states[-1], batch[-1].sequence)
            self.enter(self.node.persisted, batch[-1].sequence)
        for ready in batch:
            self._send(ready.messages_after)
        self._flushing = False
        if self._pending or self._to_propose:
            self._flush_soon()

    # The applier

    def _apply_soon(self) -> None:
        if not self._applying:
            self._applying = True
            self._schedule(self.world.apply_ms(), self._apply)

    def _apply(self) -> None:
        self._applying = False
        while self.last_applied < self._commit_index:
            answers = []
            for entry in self._committed():
                if answer := self._apply_one(entry):
                    answers.append(answer)
                if not self.alive:
                    return  # that entry removed it
            for done, result in answers:
                done(result)
        self._answer_reads()

    def _committed(self) -> Sequence[Entry]:
        first, last = self.last_applied + 1, self._commit_index
        entries = self.node.log.slice(first, last, APPLY_BYTES_MAX)
        if entries is None:
            return [entry_of_verified(record) for record in self.storage.read(first, last, APPLY_BYTES_MAX)]
        return entries

    def _apply_one(self, entry: Entry) -> tuple[Callable[[object], None], object] | None:
        if entry.kind is Kind.CONFIGURATION:
            self._configuration_applied(entry)
        admitted, result = self._replicated.apply(entry)
        done = self._proposals.answered(entry.id) if admitted and entry.id is not None else None
        self.last_applied = entry.index
        invariants = self.world.invariants
        invariants.applied(self.machine, entry, admitted, result)
        if entry.index % DIGEST_EVERY == 0:
            invariants.state(self.machine, entry.index, self.digest())
        return (done, result) if done else None

    def digest(self) -> str:
        """Of all that is replicated: equal on members that applied the same log."""
        return sha256(b"\n".join(self._replicated.document())).hexdigest()

    def _configuration_applied(self, entry: Entry) -> None:
        configuration = decode_configuration(entry.body)
        if configuration.cluster_id and configuration.cluster_id != self._identity.cluster_id:
            self._identity = replace(self._identity, cluster_id=configuration.cluster_id, joining=False)
            self.sender = replace(self.sender, cluster_id=configuration.cluster_id)
            save(self.machine.disk, DIRECTORY, self._identity)
            self.storage.set_cluster_id(configuration.cluster_id)
        if self.id in configuration.removed:
            self.world.removed(self)

    # The network: what this member sends

    def _send(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.world.invariants.sent(self.machine, message)
            if isinstance(message, Reply):
                respond = self._requests.pop(message.request, None)
                if respond is not None:
                    respond(message)
            else:
                self._send_request(message)

    def _send_request(self, message: Request) -> None:
        urgent = not isinstance(message, AppendEntries) or message.heartbeat
        lane = self._lanes.setdefault((message.target, urgent), _Lane(self))
        lane.send(message)

    def call(self, message: Request, over: Callable[[], None]) -> None:
        """Deliver it to its target; `over()` when that is done or has failed."""
        appends = isinstance(message, AppendEntries) and not message.heartbeat

        def done(answered: Answered) -> None:
            if not self._take_answer(message.target, answered):
                failed()
                return
            over()

        def failed() -> None:
            if appends and self.alive:
                self.enter(self.node.unreachable, message.target)
            over()

        try:
            loaded = self._load(message)
        except LookupError:
            self._schedule(0, failed)
            return
        if loaded is None:
            over()
            return
        timeout_ms = self.world.scenario.settings.election_timeout_ms * (APPEND_TIMEOUTS if appends else 1)
        self.world.network.ask(self, loaded, timeout_ms, done, failed, partial(self._take_answer, message.target))

    def _load(self, message: Request) -> Call | None:
        if not isinstance(message, AppendEntries) or message.entries is not None:
            return message
        bytes_max = self.world.scenario.settings.append_bytes_max
        records = self.storage.read(message.prev_log_index + 1, message.last_index, bytes_max)
        if self.node.role is not Role.LEADER or self.node.current_term != message.term:
            return None
        return replace(message, entries=tuple(entry_of_verified(record) for record in records))

    def _take_answer(self, member: int, answered: Answered) -> bool:
        """An answer of another Node; whether it was one."""
        if isinstance(answered, RefusedPeer):
            if answered.code == "removed":
                self.world.removed(self)
            return False
        sender, reply = answered
        assert isinstance(reply, Reply) and reply.source == member

        def take(reply: Message) -> None:
            check_sender(sender, self._identity.cluster_id, self.node.committed_configuration)
            self.node.identified(member, sender.incarnation, sender.advertise, sender.level)
            self.node.step(reply)

        try:
            self.enter(take, reply)
        except RefusedPeer:
            return False
        except InvalidMessage as error:
            raise Violation("believable", f"member {self.id} does not believe {reply}: {error}") from error
        return True

    # The network: what this member is asked

    def serve(self, request: int, sender: Sender, call: Call, respond: Respond) -> None:
        """An RPC has arrived."""
        try:
            check_sender(sender, self._identity.cluster_id, self.node.committed_configuration)
        except RefusedPeer as error:
            respond(error)
            return
        if isinstance(call, Propose):
            respond(self._serve_propose(call))
        elif isinstance(call, ReadIndex):
            read = Read(lambda error, index: respond(ReadIndexReply(index)), self._now_s, from_peer=True)
            self._read_here([read], lambda: respond(ReadIndexReply(0)))
        else:
            assert isinstance(call, Request)
            self._requests[request] = respond
            try:
                self.enter(self.node.step, replace(call, request=request))
            except InvalidMessage as error:
                raise Violation("believable", f"member {self.id} does not believe {call}: {error}") from error

    def _serve_propose(self, call: Propose) -> ProposeReply:
        try:
            self.enter(self.node.propose, call.proposals, self.wall_us)
        except NotLeader as error:
            return ProposeReply(False, error.leader)
        except Overloaded:
            return ProposeReply(False, self.id)
        return ProposeReply(True, self.id)

    # Clients, as raft/forwarding.py serves them

    def post(self, command: bytes, done: Callable[[object], None]) -> None:
        """Replicate a command; `done` gets the state's result, Unavailable or OutcomeUnknown."""
        key: list[ProposalId] = []

        def told(result: object) -> None:
            if isinstance(result, Unavailable) and key:
                self.world.invariants.refused(key[0])
            done(result)

        try:
            waiting = self._proposals.admit(command, told, self._now_s)
        except Unavailable as error:
            done(error)
            return
        key.append(ProposalId(self.id, self._identity.boot, waiting.sequence, 0))
        self._route(waiting)

    def read(self, done: Callable[[RaftError | None], None]) -> None:
        """`done(None)` once the state may be read."""
        self._to_read.append(Read(lambda error, index: done(error), self._now_s))
        self._schedule(0, self._run_reads)

    def entries(self, indexes: Sequence[int]) -> list[Entry]:
        """As `chat.replica.Replica` has it, for pages."""
        return [entry_of_verified(record) for record in self.storage.read_many(indexes)]

    def _leader_changed(self) -> None:
        for ask in (self._forwarding, self._reading):  # to a leader that is none any more
            if ask is not None and ask.call.target != self.node.leader_id:
                self.world.network.fail(ask)
        for waiting in self._proposals.all():
            self._route(waiting)

    def _route(self, waiting: Waiting) -> None:
        leader_id = self.node.leader_id
        if leader_id == self.id:
            self._to_propose.append(waiting)
            self._flush_soon()
        elif leader_id:
            self._to_forward.append(waiting)
            if self._forwarding is None:
                self._schedule(0, self._forward)

    def _forward(self) -> None:
        if self._forwarding is not None or not self._to_forward:
            return
        leader_id = self.node.leader_id
        batch, self._to_forward = self._to_forward, []
        if leader_id in (0, self.id):
            for waiting in batch:
                self._route(waiting)
            return
        if not self.world.network.connects(self.id, leader_id):
            self._again += batch
            return
        proposals = tuple(self._proposals.hand_over(batch))
        if not proposals:
            return

        def done(answered: Answered) -> None:
            if isinstance(answered, RefusedPeer):
                failed()
                return
            reply = answered[1]
            if isinstance(reply, ProposeReply) and not reply.accepted:
                self._proposals.take_back(batch)
                self._again.extend(batch)
            self._forwarded()

        def failed() -> None:
            self._again.extend(batch)  # it may have arrived; given again it still applies once
            self._forwarded()

        call = Propose(self.id, leader_id, proposals)
        self._forwarding = self.world.network.ask(self, call, self._call_timeout_ms, done, failed)

    def _forwarded(self) -> None:
        self._forwarding = None
        if self._to_forward:
            self._schedule(0, self._forward)

    @property
    def _call_timeout_ms(self) -> float:
        return 4 * self.world.scenario.settings.election_timeout_ms

    def _run_reads(self) -> None:
        if self._reading is not None or not self._to_read:
            return
        batch, self._to_read = self._to_read, []
        leader_id = self.node.leader_id
        if leader_id == self.id:
            self._read_here(batch, lambda: self._again.extend(batch))
        elif not leader_id or not self.world.network.connects(self.id, leader_id):
            self._again += batch
        else:
            self._read_there(batch, leader_id)

    def _read_here(self, reads: list[Read], refused: Callable[[], None]) -> None:
        self._tokens += 1
        self._at_node[self._tokens] = reads  # before: a sole voter confirms it at once
        try:
            self.enter(self.node.read_index, self._tokens)
        except NotLeader:
            del self._at_node[self._tokens]
            refused()

    def _read_there(self, batch: list[Read], leader_id: int) -> None:
        def done(answered: Answered) -> None:
            self._reading = None
            reply = None if isinstance(answered, RefusedPeer) else answered[1]
            if isinstance(reply, ReadIndexReply) and reply.index:
                self._reads.append((reply.index, batch))
                self._answer_reads()
            else:
                self._again.extend(batch)
            self._schedule(0, self._run_reads)

        def failed() -> None:
            self._reading = None
            self._again.extend(batch)

        call = ReadIndex(self.id, leader_id)
        self._reading = self.world.network.ask(self, call, self._call_timeout_ms, done, failed)

    def _confirm(self, token: int, index: int) -> None:
        batch = self._at_node.pop(token, [])  # none where they were given up meanwhile
        if batch and batch[0].from_peer:
            for read in batch:
                read.done(None, index)
        elif batch:
            self._reads.append((index, batch))
            self._schedule(0, self._answer_reads)

    def _answer_reads(self) -> None:
        waiting, self._reads = self._reads, []
        for index, batch in waiting:
            if self.last_applied >= index:
                for read in batch:
                    read.done(None, index)
            else:
                self._reads.append((index, batch))

    # The tick

    def _tick(self) -> None:
        self._schedule(self.world.scenario.tick_ms / max(self.machine.rate, 0.01), self._tick)
        self.enter(self.node.tick, self.machine.steady_ms(self.world.schedule.now_ms), self.wall_us)
        now_s = self._now_s
        again, self._again = self._again, []
        for item in again:
            if isinstance(item, Waiting):
                self._route(item)
            elif item.from_peer or self._is_overdue(item, now_s):
                _give_up(item)
            else:
                self._to_read.append(item)
        if self._to_read:
            self._run_reads()
        self._proposals.expire(now_s)
        self._expire_reads(now_s)

    def _is_overdue(self, read: Read, now_s: float) -> bool:
        return now_s - read.since_s >= self.world.scenario.proposal_timeout_s

    def _expire_reads(self, now_s: float) -> None:
        for token in [token for token, batch in self._at_node.items() if self._is_overdue(batch[0], now_s)]:
            for read in self._at_node.pop(token):
                _give_up(read)
        overdue = [item for item in self._reads if self._is_overdue(item[1][0], now_s)]
        self._reads = [item for item in self._reads if item not in overdue]
        for _, batch in overdue:
            for read in batch:
                _give_up(read)

    # What the world asks of a leader

    def ask_leader(self, act: Callable[..., object], *args: object) -> bool:
        """A change or a transfer; whether it was taken."""
        try:
            self.enter(act, *args)
        except (NotLeader, ChangeRefused):
            return False
        return True


class _Lane:
    """To one member; in a tame world one call at a time, and of each kind the newest waits."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._waiting: dict[type[Message], Request] = {}
        self._busy = False

    def send(self, message: Request) -> None:
        """Never at once: the Node is in the middle of its Ready."""
        self._waiting[type(message)] = message
        if not self._busy:
            self._busy = True
            self._process.world.schedule.after_for(self._process, 0, self._next)

    def _next(self) -> None:
        tame = self._process.world.scenario.tame
        while self._waiting:
            message = self._waiting.popitem()[1]
            self._process.call(message, self._over if tame else _nothing)
            if tame:
                return
        self._busy = False

    def _over(self) -> None:
        self._busy = False
        if self._waiting:
            self._busy = True
            self._process.world.schedule.after_for(self._process, 0, self._next)


def incarnation(id: int, size: int) -> bytes:
    """What stands for the random bytes made with a data directory: no directory is ever made twice."""
    return id.to_bytes(size, "big")


def _nothing() -> None:
    pass


def _give_up(read: Read) -> None:
    read.done(Unavailable("no leader with a majority is in reach"), 0)


def _batch(readies: Sequence[Ready]) -> tuple[list[Any], list[Entry]]:
    hard_states = [ready.hard_state for ready in readies if ready.hard_state is not None]
    return hard_states, [entry for ready in readies for entry in ready.entries]
