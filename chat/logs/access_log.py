"""The access log (`--access-log`): a line on stdout for each answer, written by a thread of its own.

Rules
- Whoever answers only appends to a queue.  A thread writes what has gathered, WRITE_EVERY_S after the last time.
- The queue has a bound: a reader of stdout that does not read slows no answer down.  What finds no place is counted,
  and a line of the log says how many.
- A line has no path, query, header or body: a path names rooms, and the rest may hold secrets.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

logger = logging.getLogger(__name__)

QUEUE_MAX: Final = 16_384  # lines: a second of the most that a node answers, and some megabytes
WRITE_EVERY_S: Final = 0.2
LOG_EVERY_S: Final = 60.0
CLOSE_S: Final = 1.0  # for the last lines at the end, if stdout takes them
NOTHING: Final = "-"
OPERATOR: Final = -1  # in place of a token's number, as in commands: the token of a node's operator.json


class Answered(NamedTuple):
    """An answer to a request."""

    at_s: float  # since 1970
    method: str  # "-" for a request whose head was refused
    route: str  # with its names in braces, like /rooms/{room}; "-" where there is none
    status: int
    code: str  # of the problem; ""
    length: int | None  # bytes of the body; None where it is not known
    duration_s: float
    user: str  # ""
    token: int  # the number of the user's token; OPERATOR; 0 for none
    network: str
    request_id: str


class Stream(Protocol):
    """The unbuffered stream that the lines are written to."""

    def write(self, data: memoryview, /) -> int | None:
        """Write some of the data; return how many bytes, or None if it would block."""


class AccessLog:
    """The queue and its thread."""

    def __init__(self, stream: Stream, form: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`stream` takes the lines; `form` is "text" or "json"."""
        self._stream = stream
        self._line = json_line if form == "json" else text_line
        self._clock = clock
        self._queue: deque[Answered] = deque()
        self._lock = threading.Lock()  # around what is counted
        self._dropped = 0  # since that was last logged
        self._log_at_s = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="access-log", daemon=True)  # it may hang in a write

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, answered: Answered) -> None:
        """Note an answer; any thread, never blocks."""
        if len(self._queue) < QUEUE_MAX:
            self._queue.append(answered)
        else:
            self._drop(1)

    def close(self) -> None:
        """Write what is left, for CLOSE_S at most."""
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._closing.wait(WRITE_EVERY_S):
            self.write()
        self.write()

    def write(self) -> None:
        """Write all lines that have gathered, at once; for one thread."""
        some = [self._queue.popleft() for _ in range(len(self._queue))]
        if some:
            try:
                self._write_all("".join(map(self._line, some)).encode())
            except (OSError, ValueError):  # nobody reads it any more, the disk is full, or it was closed
                self._drop(len(some))
        self._log_drops()

    def _write_all(self, lines: bytes) -> None:
        """Write to a stream that may take less than it is given.  Raises OSError, and ValueError if it is closed."""
        left = memoryview(lines)
        while left:
            taken = self._stream.write(left)
            if not taken:
                raise BlockingIOError
            left = left[taken:]

    def _drop(self, lines: int) -> None:
        with self._lock:
            self._dropped += lines

    def _log_drops(self) -> None:
        now_s = self._clock()
        if not self._dropped or now_s < self._log_at_s:
            return
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        self._log_at_s = now_s + LOG_EVERY_S
        logger.warning("the access log lost %d lines: stdout is not read fast enough, or cannot be written", dropped)


def json_line(answered: Answered) -> str:
    """The line as an object of JSON."""
    line = {"time": _time(answered.at_s), "logger": "access", **described(answered)}
    return json.dumps(line) + "\n"


def text_line(answered: Answered) -> str:
    """The line as `name=value`, always in the same order; texts that others chose are quoted as in JSON."""
    values = described(answered)
    quoted = {"user": json.dumps(values["user"])} if "user" in values else {}
    return " ".join([_time(answered.at_s), *(f"{name}={value}" for name, value in (values | quoted).items())]) + "\n"


def described(answered: Answered) -> dict[str, object]:
    """The fields of an answer, without those that say nothing."""
    fields: dict[str, object] = {
        "method": answered.method,
        "route": answered.route,
        "status": answered.status,
        "code": answered.code,
        "duration_ms": round(answered.duration_s * 1000, 3),
        "bytes": answered.length,
        "user": answered.user,
        "token": answered.token,
        "network": answered.network,
        "request_id": answered.request_id,
    }
    if not answered.token:
        del fields["token"]
    return {name: value for name, value in fields.items() if value not in ("", None)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
