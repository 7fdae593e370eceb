"""The numbers that the system keeps of this process.  A number that the system does not tell is left out."""

import os
import resource
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from math import inf


def process_numbers() -> Mapping[str, float]:
    """Return the values of the metrics `process_*` by name."""
    times = os.times()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers: dict[str, float] = {
        "process_cpu_seconds_total": times.user + times.system,
        "process_max_fds": inf if soft == resource.RLIM_INFINITY else soft,
        "process_threads": threading.active_count(),
    }
    with suppress(OSError, ValueError, IndexError):  # only Linux has /proc
        numbers["process_start_time_seconds"] = _started_at(os.getpid())
    with suppress(OSError):
        numbers["process_open_fds"] = _open_descriptors()
    with suppress(OSError, ValueError):
        pages, resident = _read("/proc/self/statm").split()[:2]
        size = os.sysconf("SC_PAGE_SIZE")
        numbers["process_virtual_memory_bytes"] = int(pages) * size
        numbers["process_resident_memory_bytes"] = int(resident) * size
    return numbers


def _open_descriptors() -> int:
    """Count the open descriptors.  Listing them lets go of the interpreter for each, and under load that takes long."""
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd")) - 1  # the size: from Linux 6.2 on


def _read(path: str) -> bytes:
    """Read a small file in as few calls as can be: each lets go of the interpreter."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


@cache
def _started_at(process: int) -> float:
    """Return when this process started, in seconds since 1970.  Raises OSError, ValueError or IndexError."""
    after_boot = int(_read("/proc/self/stat").rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - after_boot)
