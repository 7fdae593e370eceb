"""Faults on real processes, for as long as one likes.  Needs root.

  python -m tests.faults --seconds 600 --nodes 5    everything at once, on a schedule drawn from a seed
  python -m tests.faults --sweep 200                kill -9 at each of the first 200 syncs of a node
  python -m tests.faults --cuts 50                  power cuts at 50 random moments

What is found wrong is told with the seed, the data directories and logs are kept, and the exit code is 1.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults import chaos, disks, power
from tests.faults.schedule import KINDS
from tests.faults.tools import DISK, LIBFAKETIME, NETWORK, POWER, missing

SYNCS_AT_ONCE = 20  # then a new cluster: the log that a start reads grows all the time
LEADER_EVERY = 5  # of the syncs at which a follower is killed, the leader is killed at some


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--faults", default=",".join(KINDS), help=f"of {','.join(KINDS)} (default: all); '' for none")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the schedule, or of the cuts")
    parser.add_argument(
        "--keep", action="store_true", help="the data directories and logs, also where nothing is wrong"
    )
    parser.add_argument("--sweep", type=int, metavar="SYNCS")
    parser.add_argument("--cuts", type=int, metavar="COUNT")
    return parser.parse_args()


def say(line: str) -> None:
    print(line, flush=True)


def everything(options: argparse.Namespace, directory: Path) -> bool:
    """Whether nothing was found wrong; so with the others."""
    kinds = [kind for kind in options.faults.split(",") if kind]
    if "clock" in kinds and not Path(LIBFAKETIME).exists():
        say("no clock faults: libfaketime is not there")
        kinds.remove("clock")
    report = chaos.run(chaos.Plan(options.seconds, options.nodes, options.seed, kinds), directory, say)
    say(str(report))
    return not report.violations


def sweep(options: argparse.Namespace, directory: Path) -> bool:
    syncs, of_leader, posts = range(1, options.sweep + 1), 0, 0
    for first in range(0, len(syncs), SYNCS_AT_ONCE):
        some = syncs[first : first + SYNCS_AT_ONCE]
        begun_in = directory / f"from-{some[0]}"
        begun_in.mkdir()
        posts += disks.kill_at_syncs(begun_in, some, some[::LEADER_EVERY])
        of_leader += len(some[::LEADER_EVERY])
        say(f"killed a node at each of its first {some[-1]} syncs, the leader {of_leader} times: "
            f"{posts} posts acknowledged, none lost or doubled")  # fmt: skip
    return True


def cuts(options: argparse.Namespace, directory: Path) -> bool:
    posts = power.cut_power_often(directory, options.cuts, random.Random(options.seed), say)
    say(f"{options.cuts} power cuts: {posts} posts acknowledged before one, none lost or doubled")
    return True


def main() -> int:
    options = _options()
    if unknown := {kind for kind in options.faults.split(",") if kind} - set(KINDS):
        say(f"no such faults: {', '.join(sorted(unknown))}")
        return 2
    task: Callable[[argparse.Namespace, Path], bool] = everything
    tools: tuple[str, ...] = NETWORK
    if options.sweep:
        task, tools = sweep, DISK
    elif options.cuts:
        task, tools = cuts, POWER
    if lacking := missing(tools):
        say(f"this needs {', '.join(lacking)}")
        return 2
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-faults-"))
    say(f"seed {options.seed}, data and logs in {directory}")
    try:
        if task(options, directory):
            if not options.keep:
                shutil.rmtree(directory)
            return 0
    except AssertionError as error:
        say(f"VIOLATION: {error}")
    say(f"seed {options.seed}: what the nodes wrote is in {directory}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
