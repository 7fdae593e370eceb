"""Programs in Python that run beside a benchmark: the peers that are libraries, and loads that need a process."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import ROOT, environment


@contextmanager
def python(module: str, *arguments: str, log: Path) -> Iterator[subprocess.Popen[str]]:
    """`python -m module`, whose output is a pipe to read; what it complains of goes to `log`.  Killed at the end."""
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env=environment(),
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str], log: Path) -> str:
    """The next line that it prints; AssertionError with what it complained of, where it ends instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"it ended: {log.read_text(errors='replace')[-2000:]}"
    return line.strip()
