"""What the figures were measured on: they mean nothing without."""

import importlib.metadata
import os
import platform
import subprocess
import timeit
from datetime import UTC, datetime
from pathlib import Path

from tests.support.cluster import ROOT

PACKAGES = ("werkzeug", "simple-websocket", "websockets", "pysyncobj")
PROGRAMS = {"etcd": ("etcd", "--version"), "wrk": ("wrk", "-v")}
GIB = 1 << 30
LOOPS = 1_000_000


def described() -> dict[str, str]:
    """Name and words, in a fixed order."""
    found = {
        "Measured": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Commit": _commit(),
        "Cores": str(os.cpu_count()),
        "Processor": _processor(),
        "Memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / GIB:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_version()} ({_loop_ns():.0f} ns a loop)",
    }
    found |= {name: version for name in PACKAGES if (version := _version(name))}
    return found | {name: words for name, command in PROGRAMS.items() if (words := _first_line(*command))}


def _commit() -> str:
    """And whether the program differs from it; the results that are written meanwhile do not count."""
    git = ("git", "-C", str(ROOT))
    changed = _first_line(*git, "status", "--porcelain", "--", "raft", "chat", "raft_chat.py")
    return _first_line(*git, "rev-parse", "--short", "HEAD") + (", changed" if changed else "")


def _loop_ns() -> float:
    """Time one pass of a plain loop: interpreters of one version differ by their build."""
    return min(timeit.repeat("n += 1", "n = 0", number=LOOPS, repeat=5)) / LOOPS * 1e9


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _first_line(*command: str) -> str:
    """What a program says of itself, whatever its exit code (wrk's is 1); "" where it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    said = (done.stdout or done.stderr).strip().splitlines()
    return said[0].removeprefix("etcd Version: ").removeprefix("wrk ").partition(" [")[0] if said else ""


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
