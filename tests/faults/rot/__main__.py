"""Disks that rot under running nodes.

python -m tests.faults.rot --minutes 5 --seed 7
"""

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.faults.rot import scene


def say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rot", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-rot-"))
    say(f"seed {options.seed}, data and logs in {directory}")
    report = scene.run(directory, 60 * options.minutes, options.seed, say)
    say(str(report))
    if not report.wrong:
        shutil.rmtree(directory)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
