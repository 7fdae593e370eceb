"""Disks that rot under running nodes.

python -m tests.faults.rot --minutes 5 --seed 7
python -m tests.faults.rot --minutes 5 --all-nodes
python -m tests.faults.rot --all-copies
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.rot import all_copies, scene
from tests.support.cluster import Cluster


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rot", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--all-nodes", action="store_true", help="damage different records on all nodes at once")
    parser.add_argument("--all-copies", action="store_true", help="damage one record on every node, and no more")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-rot-"))
    if options.all_copies:
        with Cluster(directory) as cluster:
            outcome = all_copies.run(cluster.start_ready())
        say(str(outcome))
        return 0 if outcome.is_right else 1
    say(f"seed {options.seed}, data and logs in {directory}")
    report = scene.run(directory, 60 * options.minutes, options.seed, say, all_at_once=options.all_nodes)
    say(str(report))
    if not report.wrong:
        shutil.rmtree(directory)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
