"""Log each failure of this node towards a client: 5xx answers, and websockets closed with 1011 or 1013.

Rules
- Code that answers 5xx, or closes with 1011 or 1013, calls `answered` or `closed` first.
  `tests/chat/server/test_failure_log.py` holds that.
- A cause is a status and a code.  Its first answer is logged at once.  Answers within the next minute are counted, and
  the next line has the count.
- A line repeats the answer's own words, which never contain input of a client.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Final

logger = logging.getLogger(__name__)

LINE_EVERY_S: Final = 60.0
FAILED: Final = 500  # and above: this node's failure, not the client's
CLOSES: Final = {1011: "internal_error", 1013: "try_again_later"}  # RFC 6455 §7.4.1 and its registry


@dataclass(slots=True)
class _Cause:
    """The answers of one cause.  There are as few causes as codes in this program."""

    next_line_s: float
    detail: str
    unsaid: int = 0  # answers since the last line


class Failures:
    """The failures of this process, by cause.  Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._causes: dict[tuple[int, str], _Cause] = {}

    def note(self, status: int, code: str, detail: str) -> None:
        """Log the answer now, or count it for a later line; and log what other causes have counted."""
        now_s = self._clock()
        with self._lock:
            lines = [line for cause, known in self._causes.items() if (line := _due(cause, known, now_s))]
            known = self._causes.get((status, code))
            if known is None:
                self._causes[status, code] = _Cause(now_s + LINE_EVERY_S, detail)
                lines.append(f"{status} {code}: {detail}")
            elif now_s >= known.next_line_s:
                known.next_line_s, known.detail = now_s + LINE_EVERY_S, detail
                lines.append(f"{status} {code}: {detail}")
            else:
                known.unsaid, known.detail = known.unsaid + 1, detail
        for line in lines:
            logger.warning("answered a client %s", line)


def _due(cause: tuple[int, str], known: _Cause, now_s: float) -> str:
    """The line for the answers counted for a cause; "" if none is due."""
    if not known.unsaid or now_s < known.next_line_s:
        return ""
    status, code = cause
    line = f"{status} {code} {known.unsaid} more times, the last one: {known.detail}"
    known.unsaid = 0
    return line


_failures = Failures()


def answered(status: int, code: str, detail: str) -> None:
    """Note an answer.  Those below 500 are no failure of this node, and are not logged."""
    if status >= FAILED:
        _failures.note(status, code, detail)


def closed(code: int, reason: str) -> None:
    """Note that a websocket is closed by this node."""
    if code in CLOSES:
        _failures.note(code, CLOSES[code], reason)
