"""The node's log on stderr.  A terminal or pipe that nobody reads stops no thread but the writer's.

Rules
- A line is formatted by the thread that logs it, and written by the thread of the queue (line_queue.py).
- Once lines are read again, one says how many were lost, at the place where they are missing.
- `finish` waits until all lines are written, for a bounded time.  The process calls it before its end.
"""

import logging
import threading
from typing import Final, TextIO

from chat.logs.line_queue import LineQueue, Stream

logger = logging.getLogger(__name__)

LINES_MAX: Final = 4_096  # hours of an ordinary log, and some megabytes where each line has a traceback


class _Lines(LineQueue[str]):
    def __init__(self, stream: Stream, encoding: str) -> None:
        super().__init__(stream, thread="log", lines_max=LINES_MAX, write_every_s=None)
        self._encoding = encoding
        self._lost_logged = 0

    def put(self, line: str) -> None:
        """Append a line.  The writer's own, which says what was lost, finds a place in any case: where the loss was."""
        if threading.current_thread() is self._thread:
            self._queue.append(line)
            self._has_lines.set()
        else:
            super().put(line)

    def encode(self, line: str) -> bytes:
        return line.encode(self._encoding, "backslashreplace")

    def log_lost(self, written: bool) -> None:
        lost = self.lost - self._lost_logged
        if written and lost:
            self._lost_logged += lost
            logger.warning("this log lost %d lines: stderr is not read fast enough, or cannot be written", lost)


class StderrLog(logging.Handler):
    """The handler of all loggers."""

    def __init__(self, stream: Stream, encoding: str = "utf-8") -> None:
        super().__init__()
        self._lines = _Lines(stream, encoding)
        self._lines.start()

    @property
    def lost(self) -> int:
        """The number of lines lost since the start."""
        return self._lines.lost

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler does; it prints the traceback
            self.handleError(record)  # a mistake in the call of a logger
        else:
            self._lines.put(line + "\n")

    def put(self, line: str) -> None:
        """Queue a line that is not to be formatted."""
        self._lines.put(line + "\n")

    def finish(self) -> None:
        """Write what is left, for a bounded time.  What is logged later may be lost.

        This is not `close`, which logging calls under the lock that the writer needs to say what was lost.
        """
        self._lines.close()


def log_of(stderr: TextIO | None) -> StderrLog:
    """Make a log for this stream; None: stderr was closed, and leads nowhere."""
    # Without a buffer: the interpreter would wait at its end until what is in one was read.
    raw = open(2 if stderr is None else stderr.fileno(), "wb", buffering=0, closefd=False)  # noqa: SIM115
    return StderrLog(raw, "utf-8" if stderr is None else stderr.encoding)
