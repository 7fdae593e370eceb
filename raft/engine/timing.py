"""The clocks of this machine."""

import time


def steady_s() -> float:
    """Seconds that never go back, and go on while the process is stopped and the machine sleeps, where it can tell."""
    return time.clock_gettime(_STEADY)


_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # the former is Linux's
