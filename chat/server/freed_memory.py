"""Give freed memory back to the system after many clients have gone at once.

The C library's allocator keeps freed memory, so a node that has once held a crowd's frames would keep their size for
ever.  `malloc_trim` (glibc) gives it back.  It takes some milliseconds in which no thread can allocate, so it is
called only after much was freed, a moment later, and once in EVERY_S at most.  Elsewhere nothing is done.
"""

import ctypes
import logging
from collections.abc import Callable
from threading import Lock, Timer
from time import monotonic
from typing import Final

logger = logging.getLogger(__name__)

MUCH_BYTES: Final = 8 * 1024 * 1024
AFTER_S: Final = 6.0  # what is cut off closes first, which takes up to HubLimits.close_s
EVERY_S: Final = 30.0


def _malloc_trim() -> Callable[[], None] | None:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return None
    trim.argtypes = (ctypes.c_size_t,)
    return lambda: trim(0)


class Heap:
    """The heap of this process.  For any thread."""

    def __init__(self, trim: Callable[[], None] | None) -> None:
        """`trim` is None where it cannot be done."""
        self._trim = trim
        self._lock = Lock()
        self._freed = 0  # since the last trim, or so: counted without the lock
        self._is_due = False  # under the lock
        self._not_before = 0.0

    def note_freed(self, size: int) -> None:
        """Note that so many bytes are about to be freed."""
        self._freed += size
        if self._freed >= MUCH_BYTES and self._trim is not None:
            self._plan()

    def _plan(self) -> None:
        with self._lock:
            if self._is_due:
                return
            self._is_due = True
            timer = Timer(max(AFTER_S, self._not_before - monotonic()), self._run)
            timer.name = "heap"
            timer.daemon = True  # nobody waits for it
            timer.start()

    def _run(self) -> None:
        assert self._trim is not None
        self._freed = 0
        self._trim()
        with self._lock:
            self._not_before = monotonic() + EVERY_S
            self._is_due = False


HEAP: Final = Heap(_malloc_trim())
