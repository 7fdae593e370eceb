"""Lines about single requests: each refused or failed one, each slow one, and with --access-log all of them.

Rules
- An ordinary request costs a look at the clock and at its headers, and has no line.
- Strangers can have as many requests refused as they like.  So the lines are rationed, those of strangers and those of
  users apart: LINES_AT_ONCE, and after that one each LINE_EVERY_S.  What is left out is counted by status, and a line a
  minute has the counts.
- A line has the route's template, never a path, a query, a header or a body (access_log.py).
- A request that has a line has an id: its header X-Request-Id, if that is a plain one, else one that is made here.  The
  answer has it too, so that a client can tell the operator which line is theirs.
"""

import json
import logging
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from chat.logs.answered import OPERATOR, Answered, described
from chat.logs.log_fields import fields

logger = logging.getLogger(__name__)

HEADER: Final = "X-Request-Id"
SLOW_S: Final = 1.0  # far above what a node in order takes for anything, and below what people wait for
LINES_AT_ONCE: Final = 60
LINE_EVERY_S: Final = 10.0  # 8,640 lines a day, about 2 MB
COUNTS_EVERY_S: Final = 60.0
REFUSED: Final = 400  # and above: the status of a refused or failed request
# What looks like a secret of chat/auth/secrets.py is no id: no log may have one.
_ID: Final = re.compile(r"(?!.*[a-z]{2}_[A-Za-z0-9_-]{43})[A-Za-z0-9._-]{1,64}")


class Access(Protocol):
    """The access log (access_log.py)."""

    def put(self, line: Answered) -> None:
        """Note an answer; never blocks."""


class Ration:
    """Lines of one kind: some at once, then one now and then; the others are counted by status."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines = float(LINES_AT_ONCE)
        self._since_s = self._counts_s = clock()
        self._left_out: Counter[int] = Counter()

    def admit(self, status: int) -> tuple[bool, str]:
        """Return whether a line may be written now, and the counts of those left out before, "" if not due."""
        now_s = self._clock()
        self._lines = min(self._lines + (now_s - self._since_s) / LINE_EVERY_S, LINES_AT_ONCE)
        self._since_s = now_s
        counts = ""
        if self._left_out and now_s >= self._counts_s + COUNTS_EVERY_S:
            counts = ", ".join(f"{count} times {status}" for status, count in sorted(self._left_out.items()))
            self._left_out.clear()
            self._counts_s = now_s
        if self._lines < 1:
            if not self._left_out and not counts:
                self._counts_s = now_s
            self._left_out[status] += 1
            return False, counts
        self._lines -= 1
        return True, counts


class RequestLog:
    """The lines about the requests of this process.  Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.access: Access | None = None
        self.noted_from_s = SLOW_S  # how long a request takes that is to be noted; with an access log, all are
        self._lock = Lock()
        self._refused = Ration(clock), Ration(clock)  # of strangers; of users, whose lines strangers cannot use up
        self._slow = Ration(clock)

    def add_access_log(self, access: Access) -> None:
        """Put all answers in this access log."""
        self.access, self.noted_from_s = access, 0.0

    def note(self, answered: Answered) -> None:
        """Log an answer, where it is refused, failed or slow, and in the access log if there is one."""
        if self.access is not None:
            self.access.put(answered)
        if answered.status >= REFUSED:
            self._log_refused(answered)
        if answered.duration_s >= SLOW_S:
            self._log_slow(answered)

    def _log_refused(self, answered: Answered) -> None:
        with self._lock:
            admitted, counts = self._refused[bool(answered.token)].admit(answered.status)
        if counts:
            logger.info("more requests were refused or failed: %s", counts)
        if admitted:
            logger.info(
                "answered %s %s with %d %s; %s",
                answered.method, answered.route, answered.status, answered.code or "-", _whose(answered),
                extra=fields(**described(answered)),
            )  # fmt: skip

    def _log_slow(self, answered: Answered) -> None:
        with self._lock:
            admitted, counts = self._slow.admit(answered.status)
        if counts:
            logger.warning("more requests were slow: %s", counts)
        if admitted:
            logger.warning(
                "slow: answered %s %s with %d after %.3f s; %s",
                answered.method, answered.route, answered.status, answered.duration_s, _whose(answered),
                extra=fields(**described(answered)),
            )  # fmt: skip


def _whose(answered: Answered) -> str:
    """The client, in words; the user's name is quoted, for it may be any text."""
    parts = [f"network {answered.network}"] if answered.network else []
    if answered.user:
        parts.append(f"user {json.dumps(answered.user, ensure_ascii=False)}")
    if answered.token:
        parts.append("the operator" if answered.token == OPERATOR else f"token {answered.token}")
    return ", ".join([*parts, f"request {answered.request_id}"])


def id_of(given: str | None) -> str:
    """The id of a request: the one of its header, if that is valid, else a new one."""
    if given is not None and _ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


log = RequestLog()  # of this process


def refused_early(status: int, code: str, network: str, given_id: str | None = None) -> str:
    """Note a request that was refused before its route was known; return its id, for the answer."""
    request_id = id_of(given_id)
    log.note(Answered(time.time(), "-", "-", status, code, None, 0.0, "", 0, network, request_id))
    return request_id
