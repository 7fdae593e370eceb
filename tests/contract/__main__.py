"""`python -m tests.contract [--cases 10000] [--seed 0] [--login]`: many requests drawn from a node's /openapi.json.

Prints how many there were, with what status, and what was answered otherwise than it says; exits 1 where there is any.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.contract.cases import ANYBODY, Identity, run
from tests.contract.citizens import Citizens
from tests.support.cluster import Cluster


def main() -> int:
    """0 where every answer was as it is written."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--login", action="store_true", help="where people have to log in")
    options = parser.parse_args()
    flags = FLAGS if options.login else ()
    with (
        tempfile.TemporaryDirectory() as directory,
        Cluster(Path(directory), 1, flags=flags, command=QUICK_PASSWORDS) as cluster,
    ):
        cluster.start_ready()
        identities = Citizens(People(cluster)) if options.login else _anybody
        report = run(cluster.nodes[1].url, options.cases, options.seed, identities)
    for kind, told in report.failures.items():
        print(f"{kind}\n{told}\n")
    print(report)
    return 1 if report.failures else 0


def _anybody() -> Sequence[Identity]:
    return ANYBODY


if __name__ == "__main__":
    sys.exit(main())
