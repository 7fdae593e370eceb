"""`python -m tests.contract [--cases 10000] [--seed 0]`: many requests drawn from /openapi.json, on a node of its own.

Prints how many there were, with what status, and what was answered otherwise than it says; exits 1 where there is any.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.cluster.harness import Cluster
from tests.contract.cases import run


def main() -> int:
    """0 where every answer was as it is written."""
    parser = argparse.ArgumentParser(prog="python -m tests.contract", description=__doc__)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Cluster(Path(directory), 1) as cluster:
        report = run(cluster.start_ready().nodes[1].url, options.cases, options.seed)
    for kind, told in report.failures.items():
        print(f"{kind}\n{told}\n")
    print(report)
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
