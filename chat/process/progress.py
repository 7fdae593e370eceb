"""The progress of a long start, in the log and for the service manager."""

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

PROGRESS_S: Final = 1.0


class Progress:
    """Log the progress of a long start, once a second."""

    def __init__(self, what: str, tell: Callable[[str], None] = lambda text: None) -> None:
        self._what = what
        self._tell = tell
        self._next_s = time.monotonic() + PROGRESS_S

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next_s:
            self._next_s += PROGRESS_S
            percent = 100 * done // max(total, 1)
            logger.info("%s: %d of %d (%d %%)", self._what, done, total, percent)
            self._tell(f"{self._what}: {percent} %")
