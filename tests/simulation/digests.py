"""Digests of the state, and the way back of a member whose state was changed, as raft/digest has them.

Digests are taken at the log's points and of a state that stays, and are told in answers to notices.  No member whose
state was not changed may ever be found to differ, however it came to its state: by applying all, by a checkpoint or a
snapshot, after a restart, as a learner, or far behind.  In some lives the memory of one process is changed, in a way
that no client sees; it must be found, and must have a sound state in the end.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeVar, cast

from chat.state.accounts import MEMBER, Invite
from raft.core.digest_points import DigestPoints
from raft.core.node import Node, Role
from raft.core.raft_messages import Entry
from raft.digest.comparison import Comparison
from raft.digest.set_aside import Phase, SetAside
from raft.digest.state_digest import TOLD_MAX, StateCopy, StateDigest, decode_digests, encode_digests
from raft.engine.leader_client import LeaderClient
from raft.rpc.calls import WantSnapshot
from tests.simulation.invariants import Violation
from tests.simulation.tasks import Ended

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")

FINE_SIMULATED_US = 100_000
COARSE_SIMULATED_US = 400_000
QUIET_LOOKS = 3  # looks at a state that stays, before its digest is taken
TIMEOUT_MS = 300.0
MINORITY_FROM = 3  # voters: of fewer, no minority can be told from a majority
FIRST_SEED, EVERY = 1_000, 4  # the lives in which a memory is changed: no seed that the table of faults knows
PHANTOM = Invite(b"phantom".ljust(32, b"!"), MEMBER, (), 1, 1 << 60, "phantom", "")


def changes_a_memory(seed: int) -> bool:
    """Whether in this seed's life a process's memory is changed."""
    return seed >= FIRST_SEED and seed % EVERY == 0


def change_later(world: "World") -> None:
    """Change the memory of one process, once, in the lives that have that."""
    rng = Random(f"{world.seed} memory")
    if changes_a_memory(world.seed) and world.scenario.size >= 3:
        world.schedule.after(world.scenario.active_ms * rng.uniform(0.2, 0.8), _change, world, rng)


def _change(world: "World", rng: Random) -> None:
    sound = [process for process in world.network.running.values() if process.last_applied and process.held is None]
    if sound:
        process = rng.choice(sound)
        process.state.ask(lambda tables: tables.invites.__setitem__(PHANTOM.digest, PHANTOM))
        process.digests.is_changed = True
        world.changed.add(process.id)
        world.counts["memories changed"] += 1
        world.trace(f"the memory of {process.id} is changed")


class Lock:
    """The one lock around the node."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    def act(self, action: Callable[[Node], T]) -> T:
        if not self._process.alive:
            raise Ended
        return self._process.enter(action, self._process.node)

    def read(self, see: Callable[[Node], T]) -> T:
        return see(self._process.node)


class _Applier:
    """The applier."""

    refusal = ""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @property
    def last_applied(self) -> int:
        return self._process.last_applied

    def freeze(self) -> int:
        self._process.is_frozen = True
        return self._process.last_applied

    def replace_state(self) -> bool:
        return self._process.replace_state()


class _SetAside(SetAside):
    """The way back, with a network in which nobody waits."""

    def __init__(self, process: "Process") -> None:
        super().__init__(
            process.id, process.lock, _Applier(process), process.storage,
            cast(LeaderClient, None), lambda is_held: None, clock=lambda: process.now_s * 20,
        )  # fmt: skip
        self._process = process

    def _ask(self) -> None:
        process, above = self._process, self._above
        leader_id = process.node.leader_id
        if process.node.role is Role.LEADER or not leader_id:
            return
        process.enter(process.node.await_snapshot, above)
        call = WantSnapshot(process.id, leader_id, above)
        process.world.network.ask(process, call, TIMEOUT_MS, lambda answered: None, lambda: None)


class Digests:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self.is_changed = False  # its state
        self.set_aside = _SetAside(process)
        self._process = process
        self._points = DigestPoints()
        self._comparison = Comparison()
        self._told: deque[StateDigest] = deque(maxlen=TOLD_MAX)
        self._doubted: set[int] = set()
        self._seen, self._looks = 0, 0

    def restored(self, time: int) -> None:
        """The state came from a document whose last entry has this time."""
        self._points.go_on(time)
        self.is_changed = False

    def applied(self, entry: Entry) -> None:
        """Take a digest if the entry is a point."""
        if self._points.passed(entry.time)[0]:
            self._take()

    def _take(self) -> None:
        replicated = self._process.replicated
        copy = StateCopy(replicated.digest_format, replicated.meta.index, replicated.digest_input())
        (*_, digest) = copy.hash()
        assert digest is not None and digest.index == self._process.last_applied
        self._told.append(digest)
        self._comparison.note(self._process.id, [digest])
        self._process.world.counts["digests taken"] += 1

    def report(self) -> str:
        """What it tells of its state."""
        return f"{int(self.set_aside.is_doubted)} {encode_digests(self._told)}"

    def heard(self, member: int, report: str) -> None:
        """Compare with what another member tells.  Raises Violation."""
        doubt, _, digests = report.partition(" ")
        self._comparison.note(member, decode_digests(digests))
        (self._doubted.add if doubt == "1" else self._doubted.discard)(member)
        self.look()

    def look(self) -> None:
        """Do what raft/digest/watch.py does."""
        process, set_aside = self._process, self.set_aside
        self._comparison.forget_all_but({process.id, *process.node.configuration.members})
        if not set_aside.is_doubted:
            self._look_at_what_stays()
        doubted = {*self._doubted, process.id} if set_aside.is_doubted else self._doubted
        findings = self._comparison.find(process.node.configuration.is_majority, doubted)
        changed = process.world.changed
        if len(process.node.configuration.voters) < MINORITY_FROM and changed:
            changed = {*process.node.configuration.members, *changed}  # one alone is its own majority, changed or not
        if not {*findings.differing} <= changed or (findings.undecided and not changed & {*findings.undecided}):
            raise Violation("equal states", f"member {process.id} finds {findings}, and the changed are {changed}")
        if process.id in findings.differing and not set_aside.is_doubted:
            before = set_aside.phase
            set_aside.begin(findings.differing[process.id], "has another state")
            process.world.counts["members set aside"] += before is not set_aside.phase
        elif process.id in findings.agreeing:
            set_aside.agreed(findings.agreeing[process.id])
        if set_aside.step():
            process.world.counts["new states"] += 1
            self._told.clear()
            self._comparison.forget(process.id)

    def _look_at_what_stays(self) -> None:
        applied = self._process.last_applied
        self._looks = self._looks + 1 if applied == self._seen else 0
        self._seen = applied
        if applied and self._looks >= QUIET_LOOKS and (not self._told or self._told[-1].index != applied):
            self._take()

    @property
    def serves(self) -> bool:
        """Whether its state is sound, as far as it knows."""
        return self.set_aside.phase is Phase.SERVES
