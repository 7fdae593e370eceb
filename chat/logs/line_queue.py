"""Lines for stdout or stderr, written by a thread of its own: nobody waits for what reads them.

Rules
- Whoever has a line only appends it to a queue.
- The queue has a bound.  A line that finds no place is lost, and so is one that cannot be written.  Lost lines are
  counted.
- At the end what is left is written, for CLOSE_S at most.
"""

import threading
from collections import deque
from typing import Final, Generic, Protocol, TypeVar

CLOSE_S: Final = 1.0  # for the last lines at the end, if they are read
Line = TypeVar("Line")


class Stream(Protocol):
    """The unbuffered stream that the lines are written to."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of the data; return how many bytes, or None if it would block."""


class LineQueue(Generic[Line]):
    """The queue and its thread.

    A subclass says what the bytes of a line are, and logs what was lost.
    """

    def __init__(self, stream: Stream, *, thread: str, lines_max: int, write_every_s: float | None) -> None:
        """`thread`: its name.  `write_every_s`: for a queue that fills all the time; None: each line at once."""
        self._stream = stream
        self._lines_max = lines_max
        self._write_every_s = write_every_s
        self._queue: deque[Line] = deque()
        self._lock = threading.Lock()  # around what is counted
        self.lost = 0  # since the start
        self._has_lines = threading.Event()  # unused where the thread looks by itself
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)  # it may hang in a write

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, line: Line) -> None:
        """Append a line; any thread, never blocks."""
        if len(self._queue) < self._lines_max:
            self._queue.append(line)
        else:
            self._lose(1)
        if self._write_every_s is None:
            self._has_lines.set()

    def close(self) -> None:
        """Write what is left, for CLOSE_S at most, and once only."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._has_lines.set()
        self._thread.join(CLOSE_S)

    def write(self) -> None:
        """Write all lines that have gathered, at once; for one thread."""
        some = [self._queue.popleft() for _ in range(len(self._queue))]
        written = True
        if some:
            try:
                self._write_all(b"".join(map(self.encode, some)))
            except (OSError, ValueError):  # nobody reads it any more, the disk is full, or it was closed
                self._lose(len(some))
                written = False
        self.log_lost(written)

    def encode(self, line: Line) -> bytes:
        """Return the line as it is written."""
        raise NotImplementedError

    def log_lost(self, written: bool) -> None:
        """Log how many lines were lost, if that is due; called by the thread after each write.

        `written`: the lines of this time were not lost.
        """
        raise NotImplementedError

    def _run(self) -> None:
        while not self._closing.is_set():
            if self._write_every_s is None:
                self._has_lines.wait()
                self._has_lines.clear()
            else:
                self._closing.wait(self._write_every_s)
            self.write()
        self.write()

    def _write_all(self, lines: bytes) -> None:
        """Write to a stream that may take less than it is given.  Raises OSError, and ValueError if it is closed."""
        left = memoryview(lines)
        while left:
            taken = self._stream.write(left)
            if not taken:
                raise BlockingIOError
            left = left[taken:]

    def _lose(self, lines: int) -> None:
        with self._lock:
            self.lost += lines
