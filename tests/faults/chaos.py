"""One run: a cluster, clients on it, faults on a schedule, and the check.

The faults end before the clients do: the end of a run shows that the cluster becomes whole again by itself.
"""

import json
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.faults.actors import GIVE_UP_S, Actor, Listener, Reader, Writer, stop_all
from tests.faults.history import History, longest_gap
from tests.faults.schedule import AT_ONCE_MAX, CALM_S, Schedule
from tests.faults.world import WHOLE_S, World, read_pages
from tests.support.waiting import wait_until

ROOMS = ("general", "random", "ops")
STEP_S = 0.02
PROGRESS_S = 10.0
GAP_SHOWN_S = 0.5
CALM_POSTS = 20  # at least so many are acknowledged in a calm, or something is wrong


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do; `kinds` are names of `schedule.KINDS`."""

    seconds: float
    size: int
    seed: int
    kinds: Sequence[str]
    writers: int = 6
    readers: int = 3
    listeners: int = 3


@dataclass(slots=True)
class Report:
    """What came of it."""

    plan: Plan
    tried: int = 0
    acknowledged: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    gap_s: float = 0.0  # the longest without an acknowledged post
    contact_gap_s: float = 0.0  # the same, within stretches in which a majority was in contact
    contact_s: float = 0.0
    terms: int = 0
    violations: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        counts = ", ".join(f"{what} {count}" for what, count in sorted(self.counts.items()))
        return "\n".join(
            [
                f"{self.plan.size} nodes, {self.plan.seconds:.0f} s, seed {self.plan.seed}",
                f"posts: {self.tried} tried, {self.acknowledged} acknowledged, "
                f"{self.tried - self.acknowledged} unknown; {counts}",
                f"faults: {faults or 'none'}; last term {self.terms}",
                f"longest without an acknowledged post: {self.gap_s:.2f} s; "
                f"{self.contact_gap_s:.2f} s while a majority was in contact ({self.contact_s:.0f} s in all)",
                *(f"VIOLATION: {words}" for words in self.violations),
                f"{len(self.violations)} violations",
            ]
        )


def run(plan: Plan, directory: Path, say: Callable[[str], None] = lambda line: None) -> Report:
    """Do what the plan says, in `directory`, where the nodes' data and logs stay."""
    history = History()
    with ExitStack() as closing:
        world = closing.enter_context(World(directory, plan.size, clocks="clock" in plan.kinds))
        actors = _actors(plan, world, history)
        closing.callback(stop_all, actors, lambda: GIVE_UP_S)
        for actor in actors:
            actor.start()
            if isinstance(actor, Listener):
                wait_until(actor.subscribed.is_set, WHOLE_S, f"{actor.name} has subscribed")
        began = monotonic()
        _make_faults(plan, world, history, say)
        world.heal()
        ended = monotonic()
        report = Report(plan)
        if not history.violations and not world.died:
            _finish(world, history, actors, say)
        report.terms = max(world.cluster.nodes[id].status()["Term"] for id in world.ids)
    for words in (*world.died, *world.tracebacks()):
        history.violate(words)
    report.tried = len(history.tried)
    report.acknowledged = sum(1 for tried in history.tried if tried.id is not None)
    report.counts, report.faults, report.violations = dict(history.counts), dict(world.begun), history.violations
    times = sorted(history.acknowledged_at)
    report.gap_s, at = longest_gap(times, began, ended)
    say(f"the longest gap began {at - began:.1f} s after the start")
    for start, end in _contacts(world.contact, began, ended):
        report.contact_s += end - start
        gap_s, at = longest_gap(times, start, end)
        if gap_s > GAP_SHOWN_S:
            say(f"{gap_s:.2f} s without an acknowledged post, from {at - began:.1f} s on, with a majority in contact")
        report.contact_gap_s = max(report.contact_gap_s, gap_s)
    return report


def _actors(plan: Plan, world: World, history: History) -> list[Actor]:
    """Listeners first: they are to miss nothing."""
    common = (world.places, history, plan.seed)
    return [
        *(Listener(f"listener{n}", *common) for n in range(plan.listeners)),
        *(Reader(f"reader{n}", *common, ROOMS) for n in range(plan.readers)),
        *(
            Writer(f"writer{n}", *common, ROOMS[n % len(ROOMS) :] + ROOMS[: n % len(ROOMS)])
            for n in range(plan.writers)
        ),
    ]


def _make_faults(plan: Plan, world: World, history: History, say: Callable[[str], None]) -> None:
    """The schedule, until the time is up or something is found to be wrong."""
    schedule = Schedule(plan.seed, world.ids, plan.kinds)
    began = monotonic()
    next_at, say_at = began + schedule.wait_s(), began + PROGRESS_S
    calm: tuple[float, int] | None = None  # when the present one began, and the posts there were
    pause = threading.Event()  # nobody sets it
    while (now := monotonic()) < began + plan.seconds and not history.violations and not world.died:
        if plan.kinds and now >= next_at and len(world.lasting) < AT_ONCE_MAX:
            fault = schedule.next(world.leader())
            say(f"{now - began:7.1f} s  {fault.what}, for {fault.seconds:.1f} s")
            world.begin(fault)
            next_at = now + schedule.wait_s()
            if schedule.is_calm_due:
                next_at, calm = math.inf, None
        world.step()
        if next_at == math.inf and not world.lasting:
            calm = calm or (now, len(history.acknowledged_at))
            if now > calm[0] + CALM_S and len(history.acknowledged_at) >= calm[1] + CALM_POSTS:
                next_at = now
            elif now > calm[0] + WHOLE_S:
                history.violate(f"without a fault, no {CALM_POSTS} posts were acknowledged within {WHOLE_S} s")
        if now >= say_at:
            say_at += PROGRESS_S
            counts = history.counts
            say(f"{now - began:7.1f} s  {len(history.acknowledged_at)} acknowledged, {counts['reads']} reads, "
                f"{counts['frames']} frames, {sum(world.begun.values())} faults")  # fmt: skip
        pause.wait(STEP_S)


def _finish(world: World, history: History, actors: Sequence[Actor], say: Callable[[str], None]) -> None:
    """End the clients, read everything on every node, and check."""
    end = monotonic() + GIVE_UP_S + WHOLE_S
    stop_all([actor for actor in actors if not isinstance(actor, Listener)], lambda: end - monotonic())
    world.cluster.wait_ready(WHOLE_S)
    told = [{room: read_pages(place, room) for room in ROOMS} for place in world.places]
    for id, pages in zip(world.ids, told, strict=True):
        if pages != told[0]:
            history.violate(f"node {id} tells another history than node {world.ids[0]}")
    rooms = {room: [post for page in pages for post in json.loads(page)] for room, pages in told[0].items()}
    lengths = {room: len(posts) for room, posts in rooms.items() if posts}
    say(f"every node holds {sum(lengths.values())} posts")
    for listener in actors:
        if isinstance(listener, Listener):
            try:
                wait_until(lambda last=listener.last_ids: last == lengths, WHOLE_S, f"all posts for {listener.name}")  # type: ignore[misc]
            except AssertionError as error:
                history.violate(str(error))
    stop_all(actors, lambda: end - monotonic())
    history.check_final(rooms)


def _contacts(marks: Sequence[tuple[float, bool]], began: float, ended: float) -> list[tuple[float, float]]:
    """The stretches in which a majority was in contact."""
    ends = [at for at, _ in marks[1:]] + [ended]
    found = [(max(at, began), min(end, ended)) for (at, contact), end in zip(marks, ends, strict=True) if contact]
    return [(start, end) for start, end in found if start < end]
