"""Threads of the engine's in which it waits, run one at a time by the schedule.

A task is a real thread, so that the engine's own loops run in it as they are.  But it runs only while the simulation
waits for it, and gives the turn back whenever it waits for something itself: the same seed is the same run.  What it
raises goes to whoever gave it its turn.  When its process is gone, a task ends where it waits.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.disk import Died

if TYPE_CHECKING:
    from tests.simulation.process import Process

SCALE = 20.0  # seconds of the engine's in a simulated one: its pauses are made for lives of weeks
T = TypeVar("T")


class Ended(BaseException):
    """The process of a task is gone.  No `except` of the engine's may take it for an error."""


class Task:
    """One thread."""

    def __init__(self, tasks: "Tasks", body: Callable[[], object]) -> None:
        self._tasks = tasks
        self._body = body
        self._turn = threading.Semaphore(0)
        self._returned = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._ends = False
        self.over = False
        self.waits = 0  # the number of the wait that it is in, or was in last
        self.is_notified = False  # in that wait
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, wait: int) -> None:
        """Give it its turn, if it still waits so."""
        if self.over or wait != self.waits:
            return
        self._tasks.current = self
        self._turn.release()
        self._returned.acquire()
        self._tasks.current = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def end(self) -> None:
        """Have it end where it waits."""
        self._ends = True
        with suppress(Ended, Died):
            self.go_on(self.waits)
        assert self.over

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until it is notified, or so long by the engine's clock; whether it was notified.  For this task only."""
        self.waits += 1
        self.is_notified = False
        if timeout_s is not None:
            self._tasks.wake_after(self, timeout_s)
        self._returned.release()
        self._turn.acquire()
        if self._ends:
            raise Ended
        return self.is_notified

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self._ends:
                self._body()
        except BaseException as error:  # noqa: BLE001 - raised where it got its turn
            self._error = error
        finally:
            self.over = True
            self._returned.release()


class Tasks:
    """Those of one process."""

    def __init__(self, process: "Process") -> None:
        self.current: Task | None = None
        self._process = process
        self._all: list[Task] = []

    def start(self, body: Callable[[], object]) -> None:
        """Run this in a task of its own, soon."""
        self._all = [task for task in self._all if not task.over]
        task = Task(self, body)
        self._all.append(task)
        self._process.schedule(0, task.go_on, task.waits)

    def wake_after(self, task: Task, timeout_s: float) -> None:
        """Give a task its turn in so many seconds of the engine's."""
        rate = max(self._process.machine.rate, 0.01)
        self._process.schedule(timeout_s * 1000 / SCALE / rate, task.go_on, task.waits)

    def notify(self, task: Task, wait: int) -> None:
        """Wake a task, if it still waits so."""
        if not task.over and task.waits == wait:
            task.is_notified = True
            self._process.schedule(0, task.go_on, wait)

    def clock(self) -> float:
        """The engine's clock."""
        return self._process.now_s * SCALE

    def running(self) -> Task:
        """The task that asks; only a task may wait."""
        assert self.current is not None
        return self.current

    def sleep(self, timeout_s: float) -> None:
        """Let the task that asks wait so long."""
        self.running().wait(timeout_s)

    def end(self) -> None:
        """The process is gone: so are all of them, and what they were writing lies there as it is."""
        disk, current = self._process.machine.disk, self.current
        before, disk.dead = disk.dead, True
        for task in self._all:
            if not task.over and task is not current:
                task.end()
        disk.dead = before


class Condition:
    """Stands for `threading.Condition`: there is no lock to hold, as nothing else runs meanwhile."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._waiting: list[tuple[Task, int]] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a notice."""
        task = self._tasks.running()
        self._waiting.append((task, task.waits + 1))
        return task.wait(timeout)

    def wait_for(self, holds: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until it holds."""
        clock = self._tasks.clock
        end_s = None if timeout is None else clock() + timeout
        while not (found := holds()):
            left_s = None if end_s is None else end_s - clock()
            if left_s is not None and left_s <= 0:
                break
            self.wait(left_s)
        return found

    def notify_all(self) -> None:
        """Wake all that wait."""
        waiting, self._waiting = self._waiting, []
        for task, wait in waiting:
            self._tasks.notify(task, wait)
