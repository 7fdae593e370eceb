"""Waiting for a fact, with a deadline: the one place in the tests where time passes between two looks."""

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

# Short enough to add nothing to what is measured in tenths of a second, long enough to leave the nodes the CPU.
# After a while the looks are rarer: a look at three nodes costs several milliseconds of a core.
LOOK_AGAIN_S = 0.01
LOOK_AGAIN_MAX_S = 0.05
WAITED_SHARE = 0.1

deadline_share = 1.0  # of each deadline; less where a failure is expected, which is waited for in vain


def wait_until(fact: Callable[[], T | None], deadline_s: float, what: str) -> T:
    """What `fact` returns, as soon as that is neither None nor False; AssertionError naming `what` past the deadline.

    A node that is not there yet, or not any more, is an answer like any other: OSErrors count as "not yet".
    """
    began = monotonic()
    end = began + deadline_s * deadline_share
    last: object = None
    pause = threading.Event()  # nobody sets it; its wait() is the pause between two looks
    while True:
        try:
            last = found = fact()
            if found is not None and found is not False:
                return found
        except OSError as error:
            last = error
        now = monotonic()
        if now > end:
            raise AssertionError(f"not within {deadline_s} s: {what} (last seen: {last!r})")
        pause.wait(min(max(LOOK_AGAIN_S, WAITED_SHARE * (now - began)), LOOK_AGAIN_MAX_S))
