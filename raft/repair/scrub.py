"""The scrub: read all of this member's files now and then, so that damage is found while others have a copy.

Rules.  A scrub begins some time after a start and then once a week.  It reads at most `bytes_per_s`, in small steps
with pauses between them, and less on a busy machine.  One that an operator asks for is quicker.  Only one runs at a
time; a second request makes the running one quicker.  What it finds goes to the repairer.  Entries that are being
written are left to the next scrub.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from raft.errors import CorruptLog, DiskFull

logger = logging.getLogger(__name__)

BYTES_PER_S = 8_000_000  # a day's log of a busy node in minutes, and a thirtieth of a processor
ASKED_BYTES_PER_S = 64_000_000  # when somebody waits for the result
AFTER_START_S = 60.0  # a start has other things to read
EVERY_S = 7 * 86_400.0
LOG_EVERY_S = 60.0  # between two lines of scrubs that found nothing
BUSY_SHARE = 32  # steps take this part of the time at most: at full speed, a millisecond for 256 KiB
BUSY_PAUSE_S = 2.0  # at most: a disk that hung once does not stop a scrub for long
RETRY_S = 600.0  # after a scrub that failed


class Verified(Protocol):
    """The bytes that `Storage.verify` has read so far, and the damage of its last step (raft/storage/log_store.py)."""

    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def damages(self) -> Sequence[CorruptLog]: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of the running scrub, and the end of the last one."""

    is_running: bool
    done_bytes: int
    total_bytes: int
    last_end: float  # in seconds since 1970; 0: no scrub has ended since this process started
    last_found: int  # damaged places that it found


class Scrub:
    """The scrubs of one member.  Thread-safe."""

    def __init__(
        self,
        verify: Callable[[], Iterator[Verified]],
        note: Callable[[CorruptLog], None],
        *,
        bytes_per_s: int = BYTES_PER_S,
        after_start_s: float = AFTER_START_S,
        on_end: Callable[[set[str]], None] = lambda damaged: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`verify()` reads all files in steps; `note` gets the damage.  `bytes_per_s` 0: only when asked for.

        `on_end(damaged)` is called after each whole scrub, with the files in which it found damage.
        """
        self._on_end = on_end
        self._verify = verify
        self._note = note
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._changed = threading.Condition()
        self._due_s = clock() + after_start_s
        self._asked = 0  # scrubs asked for,
        self._ended = 0  # and the number of the last one that ended
        self._is_hurried = False
        self._quiet_until_s = clock()  # no line says before that a scrub found nothing
        self._resumed_s = clock()  # the end of the last pause
        self._stopped = False
        self._progress = Progress(False, 0, 0, 0.0, 0)
        self.bytes_total = 0  # since this process started

    @property
    def progress(self) -> Progress:
        """The progress, as last noted; a scrub that was asked for counts as running."""
        with self._changed:
            is_asked = self._asked > self._ended
        return replace(self._progress, is_running=self._progress.is_running or is_asked)

    def begin(self) -> None:
        """Have a scrub run now, quickly; it is quicker from now on if one runs."""
        with self._changed:
            self._asked = self._ended + 1
            self._is_hurried = True
            self._changed.notify_all()

    def run_now(self, timeout_s: float) -> bool:
        """Have a whole scrub run, quickly, and wait for its end; return False if that takes longer."""
        with self._changed:
            wanted = self._ended + (2 if self._progress.is_running else 1)
            self._asked = wanted
            self._is_hurried = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._stopped or self._ended >= wanted, timeout_s)

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self) -> None:
        """Run the thread; `stop` ends it."""
        while self._wait_until_due():
            self._scrub()

    def _wait_until_due(self) -> bool:
        with self._changed:
            while not self._stopped and self._asked <= self._ended and not self._is_due_locked():
                left_s = self._due_s - self._clock() if self._bytes_per_s else None
                self._changed.wait(None if left_s is None else max(0.05, left_s))
            self._is_hurried = self._asked > self._ended
            return not self._stopped

    def _is_due_locked(self) -> bool:
        return bool(self._bytes_per_s) and self._clock() >= self._due_s

    def _scrub(self) -> None:
        """Read everything once."""
        found, done, after_s, damaged = 0, 0, EVERY_S, set[str]()
        self._progress = Progress(True, 0, 0, self._progress.last_end, self._progress.last_found)
        self._resumed_s = self._clock()
        try:
            for step in self._verify():
                for damage in step.damages:
                    found += 1
                    damaged.add(damage.file)
                    self._note(damage)
                self.bytes_total += step.done - done
                self._progress = Progress(
                    True, step.done, step.total, self._progress.last_end, self._progress.last_found
                )
                if self._paused(step.done - done):
                    return
                done = step.done
            self._on_end(damaged)
            self._progress = Progress(False, done, done, time.time(), found)
            self._log_end(done, found)
        except (OSError, DiskFull) as error:
            after_s = RETRY_S
            self._progress = Progress(False, 0, 0, self._progress.last_end, self._progress.last_found)
            logger.warning("the scrub of this node's files failed; next try in %d s: %s", after_s, error)
        finally:
            with self._changed:
                self._ended += 1
                self._due_s = self._clock() + after_s
                self._changed.notify_all()

    def _log_end(self, done: int, found: int) -> None:
        """Log what a scrub has found; one that found nothing only now and then, since anybody may ask for many."""
        if found or self._clock() >= self._quiet_until_s:
            self._quiet_until_s = self._clock() + LOG_EVERY_S
            logger.info("a scrub has read %d bytes of this node's files, and found %d damaged places", done, found)

    def _paused(self, read_bytes: int) -> bool:
        """Pause for as long as so many bytes may take; return True to end.

        A step that had to wait for the processor or the disk took longer, and so is the pause: others want them.
        """
        began_s = self._clock()
        busy_s = min(BUSY_SHARE * (began_s - self._resumed_s), BUSY_PAUSE_S)
        with self._changed:
            while not self._stopped and (left_s := began_s + self._pause_s(read_bytes, busy_s) - self._clock()) > 0:
                self._changed.wait(left_s)
            self._resumed_s = self._clock()
            return self._stopped

    def _pause_s(self, read_bytes: int, busy_s: float) -> float:
        pause_s = read_bytes / self._speed()
        return pause_s if self._is_hurried else max(pause_s, busy_s)

    def _speed(self) -> int:
        return ASKED_BYTES_PER_S if self._is_hurried or not self._bytes_per_s else self._bytes_per_s
