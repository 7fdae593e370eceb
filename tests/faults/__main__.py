"""Faults on real processes, for as long as one likes: `python -m tests.faults --seconds 600 --nodes 5`.  Needs root.

What is found wrong is told with the seed, the data directories and logs are kept, and the exit code is 1.
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults import chaos
from tests.faults.schedule import KINDS
from tests.faults.tools import LIBFAKETIME, NETWORK, missing


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--nodes", type=int, default=3, choices=(3, 5))
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--faults", default=",".join(KINDS), help=f"of {','.join(KINDS)} (default: all); '' for none")
    return parser.parse_args()


def main() -> int:
    options = _options()
    kinds = [kind for kind in options.faults.split(",") if kind]
    if unknown := set(kinds) - set(KINDS):
        print(f"no such faults: {', '.join(sorted(unknown))}")
        return 2
    if lacking := missing(NETWORK):
        print(f"this needs {', '.join(lacking)}")
        return 2
    if "clock" in kinds and not Path(LIBFAKETIME).exists():
        print("no clock faults: libfaketime is not there")
        kinds.remove("clock")
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-faults-"))
    print(f"seed {options.seed}, data and logs in {directory}", flush=True)
    plan = chaos.Plan(options.seconds, options.nodes, options.seed, kinds)
    report = chaos.run(plan, directory, lambda line: print(line, flush=True))
    print(report)
    if report.violations:
        print(f"seed {options.seed}: what the nodes wrote is in {directory}")
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
