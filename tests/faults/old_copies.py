"""Nodes that come back on an older copy of their data: `python -m tests.faults.old_copies [--only WORDS]`.

Each way runs on real processes and real file systems, prints a line, and has to end as its line in WAYS says: refused
by the node itself, refused by the cluster, or harmless; with nothing that `copy_scene.py` counts, but where
the README says that nobody can know.  The exit code is 1 where one did not.  Those on volumes
need root, and are skipped without, but with CI=true.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic

from tests.faults.copy_scene import CLUSTER, HARMLESS, HERE, SEEN_S, Scene, Seen
from tests.faults.tools import POWER
from tests.support.waiting import wait_until

TOOLS = ("curl", "setpriv")
STARTS = 5  # in a row without a majority
WRONG, LOST, TWO, UNTOLD = "wrong 201", "lost", "two histories", "untold"
ANYTHING = (WRONG, LOST, TWO, UNTOLD)
KILLS = 3  # of all nodes together


@dataclass(frozen=True, slots=True)
class Way:
    """One way to come back, and what it must come to."""

    name: str
    run: Callable[[Scene], None]
    must: tuple[str, ...]
    size: int = 3
    on_volumes: str = ""
    nobody_knows: tuple[str, ...] = ()  # what may come of it where, as the README says, no node can know

    def lacks(self) -> list[str]:
        """What of the machine it needs and does not find."""
        tools = (*TOOLS, *(POWER if self.on_volumes else ()), *(("rsync",) if "rsync" in self.name else ()))
        lacking = [tool for tool in tools if shutil.which(tool) is None]
        return lacking + (["root"] if self.on_volumes and os.geteuid() != 0 else [])

    def play(self) -> Seen:
        with Scene(self.size, self.on_volumes) as scene:
            self.run(scene)
            return scene.finish()

    def wrong(self, seen: Seen) -> list[str]:
        """What differs from what must be."""
        found = [f"node {id}: {outcome}" for id, outcome in seen.outcomes.items() if outcome not in self.must]
        for id, outcome in seen.outcomes.items():
            if outcome == CLUSTER and (id not in seen.named_by or len(seen.named_by) < 2):
                found.append(f"only the logs of {sorted(seen.named_by)} name node {id}")
        counts = {WRONG: seen.wrong, LOST: seen.lost, TWO: seen.two_histories, UNTOLD: sum(seen.untold.values())}
        found += [f"{what}: {count}" for what, count in counts.items() if count and what not in self.nobody_knows]
        return found + [
            f"{client}: {count}" for client, count in seen.untold.items() if UNTOLD not in self.nobody_knows
        ]


def restored(
    scene: Scene,
    who: str,
    how: str,
    *flags: str,
    started: bool = False,
    newest: bool = False,
    running: bool = False,
    new_leader: bool = False,
) -> None:
    """Copy, post, put the copy back, and start on it.

    `started`: the node starts once between copy and restore.  `newest`: the copy is made of the node as it stopped.
    `running`: the files are put back under the node while it runs.  `new_leader`: the leader changes before the start.
    """
    scene.start_ready()
    victims = scene.choose(who)
    scene.attach(victims[0])
    if not newest:
        scene.copy()
    if started:
        scene.start_again()
    if who == "leader":
        scene.have_lead(victims[0])
    scene.go_on()
    if running:
        scene.put_back(how)
        scene.post_some()
    if newest:
        for id in victims:
            assert scene.terminate(id) == 0
        scene.copy(running=False)
    scene.kill(*victims)
    if not running:
        scene.put_back(how)
    if who == "leader" or new_leader:
        scene.wait_leader()
    if new_leader:
        scene.have_lead()
    scene.come_back(*flags)
    scene.started_once_more()
    if len(scene.nodes) > 1 and all(outcome == HARMLESS for outcome in scene.seen.outcomes.values()):
        scene.lose_the_leader()


def needed(scene: Scene, *, started: bool, leader_dies_before: bool, for_good: bool = False) -> None:
    """A follower that a post needed for its majority is rolled back, and the leader dies before or after its start."""
    leader = scene.start_ready().wait_leader()
    (victim,) = scene.choose("follower")
    (away,) = set(scene.nodes) - {leader, victim}
    scene.attach(victim)
    scene.copy()
    if started:
        scene.start_again()
    scene.kill(away)
    scene.go_on()
    scene.kill(victim)
    scene.put_back("rollback")
    if leader_dies_before:
        scene.kill(leader)
        scene.come_back(with_them=[away])
    else:
        scene.come_back()
        scene.kill(leader)
        scene.start(away)
    scene.started_once_more()
    scene.look()
    if for_good:
        scene.nodes[leader].kill()


def grown(scene: Scene, *, started: bool) -> None:
    """The copy of a single node, in place of the member of three that it has become."""
    scene.start_ready()
    (first,) = scene.choose("single")
    scene.attach(first)
    scene.copy()
    for id in (2, 3):
        node = scene.new_node(id)
        node.program = scene.nodes[first].program
        assert scene.request(first, "POST", f"/raft/{id}", node.peer_url).status == 204
        scene.join(id)
        scene.wait_ready()
    if started:
        scene.start_again()
    scene.post_some()
    scene.kill(first)
    scene.put_back("mv, cp -a")
    scene.wait_leader()
    scene.come_back()
    scene.started_once_more()


def killed_together(scene: Scene) -> None:
    """All at once, under load; no copy of anything."""
    scene.start_ready()
    scene.attach(scene.choose("follower")[0])
    for _ in range(KILLS):
        scene.post_some()
        scene.kill()
        scene.start_ready()
    scene.victims = list(scene.nodes)
    scene.kill()
    scene.come_back()


def without_a_majority(scene: Scene) -> None:
    """Start after start of one node, and then of the others."""
    scene.start_ready()
    (victim,) = scene.choose("follower")
    scene.attach(victim)
    scene.post_some()
    scene.kill()
    for _ in range(STARTS):
        scene.start(victim)
        wait_until(lambda: scene.nodes[victim].status(), SEEN_S, "it answers")
        scene.kill(victim)
    scene.come_back(with_them=[id for id in scene.nodes if id != victim])


def _ways() -> list[Way]:
    one, three = partial(Way, size=1), partial(Way, size=3)
    on_disks = partial(Way, on_volumes="below")

    def way(who: str, how: str, *flags: str, **more: bool) -> Callable[[Scene], None]:
        return lambda scene: restored(scene, who, how, *flags, **more)

    return [
        one("single, cp -r elsewhere", way("single", "cp -r"), (HARMLESS,)),
        one("single, cp -a in place, a start between", way("single", "cp -a", started=True), (HARMLESS,)),
        one("single, cp -a in place, same start", way("single", "cp -a"), (HARMLESS,)),
        one("single, cp -a over it, a start between", way("single", "cp -a over", started=True), (HERE, HARMLESS)),
        one("single, cp -a over it, same start", way("single", "cp -a over"), (HARMLESS,), nobody_knows=(UNTOLD,)),
        one("single, rsync in place, a start between", way("single", "rsync", started=True), (HARMLESS,)),
        one("single, rsync in place, same start", way("single", "rsync"), (HARMLESS,), nobody_knows=(UNTOLD,)),
        one("single, tar, fresh ext4, at its top", way("single", "tar"), (HARMLESS,), on_volumes="at"),
        one("single, tar, fresh ext4, below", way("single", "tar"), (HARMLESS,), on_volumes="below"),
        one(
            "single, volume back, a start between",
            way("single", "rollback", started=True),
            (HARMLESS,),
            on_volumes="at",
            nobody_knows=(UNTOLD,),
        ),
        one(
            "single, volume back, same start",
            way("single", "rollback"),
            (HARMLESS,),
            on_volumes="at",
            nobody_knows=(UNTOLD,),
        ),
        one("single, files swapped as it runs", way("single", "mv, cp -a", running=True), (HARMLESS,)),
        one("single, files overwritten as it runs", way("single", "cp -a over", running=True), (HERE,)),
        one("single that grew to three, a start between", partial(grown, started=True), (CLUSTER,)),
        one("single that grew to three, same start", partial(grown, started=False), (CLUSTER, HARMLESS)),
        three("follower, cp -r elsewhere", way("follower", "cp -r"), (HERE,)),
        three("follower, cp -a in place, a start between", way("follower", "cp -a", started=True), (HERE,)),
        three("follower, cp -a in place, same start", way("follower", "cp -a"), (HERE,)),
        three("follower, cp -a over it, a start between", way("follower", "cp -a over", started=True), (HERE,)),
        three("follower, cp -a over it, same start", way("follower", "cp -a over"), (CLUSTER,)),
        three("follower, rsync in place, a start between", way("follower", "rsync", started=True), (HERE,)),
        three("follower, rsync in place, same start", way("follower", "rsync"), (CLUSTER,)),
        three("follower, tar, fresh ext4, at its top", way("follower", "tar"), (HERE,), on_volumes="at"),
        on_disks("follower, tar, fresh ext4, below", way("follower", "tar"), (HERE,)),
        on_disks("follower, volume back, a start between", way("follower", "rollback", started=True), (CLUSTER,)),
        on_disks("follower, volume back, same start", way("follower", "rollback"), (CLUSTER,)),
        on_disks(
            "follower, volume back, same start, new leader",
            way("follower", "rollback", new_leader=True),
            (CLUSTER, HARMLESS),
        ),
        three("follower, files swapped as it runs", way("follower", "mv, cp -a", running=True), (HERE,)),
        three("follower, files overwritten as it runs", way("follower", "cp -a over", running=True), (HERE, CLUSTER)),
        three("follower, --moved, newest", way("follower", "cp -r", "--moved", newest=True), (HARMLESS,)),
        three(
            "follower, --moved, older, a start between", way("follower", "cp -r", "--moved", started=True), (CLUSTER,)
        ),
        three("follower, --moved, older, same start", way("follower", "cp -r", "--moved"), (CLUSTER,)),
        three("leader, cp -a in place, a start between", way("leader", "cp -a", started=True), (HERE,)),
        on_disks("leader, volume back, a start between", way("leader", "rollback", started=True), (CLUSTER,)),
        on_disks("leader, volume back, same start", way("leader", "rollback"), (CLUSTER, HARMLESS)),
        on_disks("two of three, volumes back, a start between", way("majority", "rollback", started=True), (CLUSTER,)),
        on_disks(
            "two of three, volumes back, same start",
            way("majority", "rollback"),
            (CLUSTER, HARMLESS),
            nobody_knows=ANYTHING,
        ),
        on_disks(
            "needed, volume back, a start between, leader dies later",
            partial(needed, started=True, leader_dies_before=False),
            (CLUSTER,),
        ),
        on_disks(
            "needed, volume back, same start, leader dies later",
            partial(needed, started=False, leader_dies_before=False),
            (CLUSTER, HARMLESS),
        ),
        on_disks(
            "needed, volume back, a start between, leader dead",
            partial(needed, started=True, leader_dies_before=True),
            (CLUSTER,),
        ),
        on_disks(
            "needed, volume back, same start, leader dead",
            partial(needed, started=False, leader_dies_before=True),
            (CLUSTER, HARMLESS),
            nobody_knows=ANYTHING,
        ),
        three("all three killed together, four times", killed_together, (HARMLESS,)),
        three("five starts in a row without a majority", without_a_majority, (HARMLESS,)),
    ]


WAYS = _ways()
LINE = "{:55} {:24} {:8} {:>5} {:>4} {:>6} {:>9} {:>6} {:>10} {:>5}"


def line(way: Way, seen: Seen, took_s: float) -> str:
    outcome = " and ".join(sorted(set(seen.outcomes.values())))
    named = ",".join(map(str, sorted(seen.named_by))) or "-"
    untold = sum(seen.untold.values())
    return LINE.format(
        way.name, outcome, named, seen.wrong, seen.lost, seen.not_in_copy or "-", seen.two_histories, untold,
        seen.started_over or "-", f"{took_s:.0f}",
    )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults.old_copies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="ways whose names have these words")
    options = parser.parse_args()
    print(
        LINE.format("way", "seen", "logs of", "wrong", "lost", "gone", "histories", "untold", "start over", "s"),
        flush=True,
    )
    failed = 0
    for way in WAYS:
        if options.only not in way.name:
            continue
        if lacking := way.lacks():
            print(f"{way.name:55} skipped: it needs {', '.join(lacking)}", flush=True)
            failed += os.environ.get("CI") == "true"
            continue
        began = monotonic()
        try:
            seen = way.play()
        except AssertionError as error:
            print(f"{way.name:55} FAILED: {error}", flush=True)
            failed += 1
            continue
        wrong = way.wrong(seen)
        print(line(way, seen, monotonic() - began), flush=True)
        if wrong:
            failed += 1
            print(f"    WRONG: {'; '.join(wrong)}\n    last words: {seen.words}", flush=True)
    print(f"{failed} ways differ from what must be")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
