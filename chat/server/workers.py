"""Threads for what takes long: as many as there are jobs, and those that have become idle are used again."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

logger = logging.getLogger(__name__)

IDLE_S = 10.0  # then a thread without a job ends

Job = Callable[[], None]


class Workers:
    """`give` is for any thread.  How many jobs there can be at a time is its callers' to bound."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._idle = 0  # threads that nobody has given a job to; under the lock
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()  # each is for a thread that was idle; None ends it
        self._stopped = False  # under the lock

    def give(self, job: Job) -> None:
        """Run `job` in a thread of its own, at once.  Raises RuntimeError: the system has no more threads."""
        with self._lock:
            reused = self._idle > 0
            self._idle -= reused
        if reused:
            self._jobs.put(job)
        else:
            # daemon: an application that hangs past the deadline of a drain must not keep the process alive.
            threading.Thread(target=self._run, name=f"{self._name}-worker", args=(job,), daemon=True).start()

    def stop(self) -> None:
        """End the threads: those that are idle at once, the others after their jobs."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)

    def _run(self, job: Job | None) -> None:
        while job is not None:
            try:
                job()
            except Exception:
                logger.exception("%s: a worker's job failed", self._name)
            job = self._next_job()

    def _next_job(self) -> Job | None:
        with self._lock:
            if self._stopped:
                return None
            self._idle += 1
        try:
            return self._jobs.get(timeout=IDLE_S)
        except Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    return None
        return self._jobs.get()  # it is being given one just now
