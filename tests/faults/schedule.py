"""Which faults come when: drawn from a seed, told as plain data, done by nobody here.

A fault says what is wrong while it lasts; several last at a time, and what is wrong then is all of it together.  After
some faults comes a calm, in which the cluster is given the time to become whole: without it a long run would see few
states but the broken ones.
"""

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.network import Link

AT_ONCE_MAX = 3
CALM_S = 4.0
FAULTS_UNTIL_CALM = 8


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong for so many seconds; with `period_s` only every other such period of them."""

    kind: str
    what: str
    seconds: float
    dead: frozenset[int] = frozenset()
    paused: frozenset[int] = frozenset()
    blocked: frozenset[Link] = frozenset()
    loss: float = 0.0
    clocks_s: Mapping[int, float] = field(default_factory=dict)  # how far off a node's wall clock is
    period_s: float = 0.0

    def is_on(self, age_s: float) -> bool:
        return not self.period_s or int(age_s / self.period_s) % 2 == 0


def both_ways(ones: Sequence[int], others: Sequence[int]) -> frozenset[Link]:
    return frozenset(link for one in ones for other in others if one != other for link in ((one, other), (other, one)))


def _some(rng: random.Random, ids: Sequence[int], count: int) -> list[int]:
    return sorted(rng.sample(list(ids), count))


def _target(rng: random.Random, ids: Sequence[int], leader: int) -> int:
    """A node; more often than not the leader, where there is one."""
    return leader if leader and rng.random() < 0.6 else rng.choice(list(ids))


def kill(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """kill -9 of one, of a majority, or of all at once, and the start again."""
    majority = len(ids) // 2 + 1
    dead = rng.choice([[_target(rng, ids, leader)], [_target(rng, ids, leader)], _some(rng, ids, majority), list(ids)])
    return Fault("kill", f"kill -9 of {dead}", rng.uniform(0.05, 2.5), dead=frozenset(dead))


def stop(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """SIGSTOP and, later, SIGCONT."""
    majority = len(ids) // 2 + 1
    paused = rng.choice([[_target(rng, ids, leader)], [_target(rng, ids, leader)], _some(rng, ids, majority)])
    return Fault("stop", f"SIGSTOP of {paused}", rng.uniform(0.1, 4), paused=frozenset(paused))


def net(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """A partition of one of five kinds."""
    one, seconds = _target(rng, ids, leader), rng.uniform(0.3, 5)
    rest = [id for id in ids if id != one]
    match rng.choice(["split", "alone", "deaf", "mute", "ring"]):
        case "split":
            few = _some(rng, ids, rng.randint(1, len(ids) // 2))
            blocked = both_ways(few, [id for id in ids if id not in few])
            return Fault("net", f"{few} cut off from the rest", seconds, blocked=blocked)
        case "alone":
            return Fault("net", f"{one} alone", seconds, blocked=both_ways([one], rest))
        case "deaf":
            return Fault("net", f"{one} hears nobody", seconds, blocked=frozenset((other, one) for other in rest))
        case "mute":
            return Fault("net", f"nobody hears {one}", seconds, blocked=frozenset((one, other) for other in rest))
    around = rng.sample(list(ids), len(ids))
    near = {frozenset(pair) for pair in itertools.pairwise(around)}
    if len(ids) > 3:  # three in a full ring are all in contact
        near.add(frozenset((around[0], around[-1])))
    cut = frozenset(link for link in both_ways(ids, ids) if frozenset(link) not in near)
    return Fault("net", f"each hears its neighbours in {around}", seconds, blocked=cut)


def loss(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """Packets lost on every link."""
    share = rng.choice([0.02, 0.1, 0.3])
    return Fault("loss", f"{share:.0%} lost", rng.uniform(1, 6), loss=share)


def flap(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """A node that is cut off and back, again and again."""
    one, period_s = _target(rng, ids, leader), rng.uniform(0.1, 0.7)
    rest = [id for id in ids if id != one]
    what = f"{one} flaps every {period_s:.1f} s"
    return Fault("flap", what, rng.uniform(2, 6), blocked=both_ways([one], rest), period_s=period_s)


def clock(rng: random.Random, ids: Sequence[int], leader: int) -> Fault:
    """A wall clock that jumps, and jumps back."""
    one, jump_s = _target(rng, ids, leader), rng.choice([-86400.0, -60.0, -2.0, 2.0, 60.0, 86400.0])
    return Fault("clock", f"the clock of {one} {jump_s:+.0f} s", rng.uniform(1, 6), clocks_s={one: jump_s})


KINDS: dict[str, Callable[[random.Random, Sequence[int], int], Fault]] = {
    make.__name__: make for make in (kill, stop, net, loss, flap, clock)
}


class Schedule:
    """The faults of one run.  The same seed draws the same ones, but for who happens to lead."""

    def __init__(self, seed: int, ids: Sequence[int], kinds: Sequence[str]) -> None:
        self._rng = random.Random(seed)
        self._ids = tuple(ids)
        self._kinds = tuple(kinds)
        self._drawn = 0

    def next(self, leader: int) -> Fault:
        self._drawn += 1
        return KINDS[self._rng.choice(self._kinds)](self._rng, self._ids, leader)

    def wait_s(self) -> float:
        """How long after the last one the next fault comes."""
        return self._rng.uniform(0.1, 2)

    @property
    def is_calm_due(self) -> bool:
        return self._drawn > 0 and self._drawn % FAULTS_UNTIL_CALM == 0
