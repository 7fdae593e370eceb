"""The access log (`--access-log`): a line on stdout for each answer, written by a thread of its own.

Rules
- Whoever answers only appends to a queue (line_queue.py).  A thread writes what has gathered, WRITE_EVERY_S after the
  last time.
- A line of the log says how many lines were lost, at most one each LOG_EVERY_S.
- A line has no path, query, header or body: a path names rooms, and the rest may hold secrets.
"""

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from chat.logs.answered import Answered, described
from chat.logs.line_queue import LineQueue, Stream

logger = logging.getLogger(__name__)

QUEUE_MAX: Final = 16_384  # lines: a second of the most that a node answers, and some megabytes
WRITE_EVERY_S: Final = 0.2
LOG_EVERY_S: Final = 60.0


class AccessLog(LineQueue[Answered]):
    """The queue and its thread."""

    def __init__(self, stream: Stream, form: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`stream` takes the lines; `form` is "text" or "json"."""
        super().__init__(stream, thread="access-log", lines_max=QUEUE_MAX, write_every_s=WRITE_EVERY_S)
        self._line = json_line if form == "json" else text_line
        self._clock = clock
        self._lost_logged = 0
        self._log_at_s = 0.0

    def encode(self, line: Answered) -> bytes:
        return self._line(line).encode()

    def log_lost(self, written: bool) -> None:
        lost, now_s = self.lost - self._lost_logged, self._clock()
        if lost and now_s >= self._log_at_s:
            self._lost_logged += lost
            self._log_at_s = now_s + LOG_EVERY_S
            logger.warning("the access log lost %d lines: stdout is not read fast enough, or cannot be written", lost)


def json_line(answered: Answered) -> str:
    """The line as an object of JSON."""
    line = {"time": _time(answered.at_s), "logger": "access", **described(answered)}
    return json.dumps(line) + "\n"


def text_line(answered: Answered) -> str:
    """The line as `name=value`, always in the same order; texts that others chose are quoted as in JSON."""
    values = described(answered)
    quoted = {"user": json.dumps(values["user"])} if "user" in values else {}
    return " ".join([_time(answered.at_s), *(f"{name}={value}" for name, value in (values | quoted).items())]) + "\n"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
