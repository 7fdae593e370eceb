"""A scrub reads everything, at its pace; what it finds is handed on; it runs when it is due or asked for."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from raft.errors import CorruptLog, DiskFull
from raft.repair.scrub import ASKED_BYTES_PER_S, BUSY_PAUSE_S, BUSY_SHARE, EVERY_S, LOG_EVERY_S, Scrub
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Step:
    done: int
    total: int
    damages: tuple[CorruptLog, ...] = ()


DAMAGES = CorruptLog("/log-1", 7, "entry 4 is damaged", "act", (4, 5)), CorruptLog("/snap", 9, "damaged", "act")


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def wait(self, timeout_s: float) -> None:
        self.now_s += timeout_s


class Files:
    """Three steps of a kilobyte, the second of which finds damage."""

    def __init__(self) -> None:
        self.scrubs = 0
        self.failure: Exception | None = None
        self.damages: tuple[CorruptLog, ...] = DAMAGES
        self.before_step: Callable[[int], None] = lambda step: None

    def verify(self) -> Iterator[Step]:
        self.scrubs += 1
        for number in (1, 2, 3):
            self.before_step(number)
            if self.failure is not None:
                raise self.failure
            yield Step(1000 * number, 3000, self.damages if number == 2 else ())


@contextmanager
def running(scrub: Scrub) -> Iterator[None]:
    thread = threading.Thread(target=scrub.run)
    thread.start()
    try:
        yield
    finally:
        scrub.stop()
        thread.join(5)
        assert not thread.is_alive()


def test_what_is_found_is_handed_on_and_the_progress_is_told() -> None:
    files, found = Files(), list[CorruptLog]()
    scrub = Scrub(files.verify, found.append, bytes_per_s=0)
    seen: list[tuple[bool, int, int]] = []
    files.before_step = lambda step: seen.append(
        (scrub.progress.is_running, scrub.progress.done_bytes, scrub.progress.total_bytes)
    )
    with running(scrub):
        assert scrub.run_now(5)
    assert found == [*DAMAGES]
    assert seen == [(True, 0, 0), (True, 1000, 3000), (True, 2000, 3000)]
    progress = scrub.progress
    assert (progress.is_running, progress.done_bytes, progress.last_found) == (False, 3000, 2)
    assert progress.last_end > 0 and scrub.bytes_total == 3000


def test_a_scrub_that_was_asked_for_runs_from_then_on_for_whoever_waits_for_its_end() -> None:
    scrub = Scrub(Files().verify, lambda error: None, bytes_per_s=0)
    idle = scrub.progress.is_running
    scrub.begin()
    assert (idle, scrub.progress.is_running) == (False, True)
    with running(scrub):
        wait_until(lambda: not scrub.progress.is_running, 5, "it has ended")


def test_scrubs_that_find_nothing_are_logged_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files, clock = Files(), Clock()
    scrub = Scrub(files.verify, lambda error: None, clock=clock)
    monkeypatch.setattr(scrub._changed, "wait", clock.wait)
    files.damages = ()
    for _ in range(3):
        scrub._scrub()
    assert len(caplog.records) == 1
    clock.now_s += LOG_EVERY_S
    scrub._scrub()
    assert len(caplog.records) == 2
    files.damages = DAMAGES
    scrub._scrub()
    assert "found 2 damaged places" in caplog.records[-1].message


def test_it_runs_after_a_start_and_then_once_a_week(monkeypatch: pytest.MonkeyPatch) -> None:
    files, clock = Files(), Clock()
    scrub = Scrub(files.verify, lambda error: None, after_start_s=60.0, clock=clock)
    monkeypatch.setattr(scrub._changed, "wait", clock.wait)
    assert not scrub._is_due_locked()
    clock.now_s = 60.0
    assert scrub._is_due_locked()
    scrub._scrub()
    clock.now_s = EVERY_S + 59
    assert not scrub._is_due_locked()
    clock.now_s = EVERY_S + 61
    assert scrub._is_due_locked() and files.scrubs == 1


def test_with_a_speed_of_0_it_runs_only_when_asked_for() -> None:
    files = Files()
    scrub = Scrub(files.verify, lambda error: None, bytes_per_s=0, after_start_s=0.0)
    assert not scrub._is_due_locked()
    with running(scrub):
        scrub.begin()
        wait_until(lambda: scrub.progress.last_end > 0, 5, "it has run")
    assert files.scrubs == 1


QUICK_S = 1000 / ASKED_BYTES_PER_S


@pytest.mark.parametrize(
    ("bytes_per_s", "is_asked", "pause_s"), [(500, False, 2.0), (500, True, QUICK_S), (0, True, QUICK_S)]
)
def test_it_pauses_for_as_long_as_what_it_read_may_take(
    bytes_per_s: int, is_asked: bool, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    scrub = Scrub(Files().verify, lambda error: None, bytes_per_s=bytes_per_s, clock=clock)
    pauses: list[float] = []

    def wait(timeout_s: float) -> None:
        pauses.append(timeout_s)
        clock.wait(timeout_s)

    monkeypatch.setattr(scrub._changed, "wait", wait)
    scrub._is_hurried = is_asked
    scrub._paused(1000)
    assert sum(pauses) == pytest.approx(pause_s)


@pytest.mark.parametrize(
    ("step_s", "is_asked", "pause_s"),
    [(0.01, False, 1.0), (0.05, False, 0.05 * BUSY_SHARE), (60.0, False, BUSY_PAUSE_S), (0.5, True, QUICK_S)],
)
def test_it_pauses_longer_where_a_step_had_to_wait_unless_somebody_waits_for_the_result(
    step_s: float, is_asked: bool, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    scrub = Scrub(Files().verify, lambda error: None, bytes_per_s=1000, clock=clock)
    monkeypatch.setattr(scrub._changed, "wait", clock.wait)
    scrub._is_hurried = is_asked
    for _ in range(2):
        clock.wait(step_s)
        before_s = clock.now_s
        scrub._paused(1000)
        assert clock.now_s - before_s == pytest.approx(pause_s)


def test_a_second_request_makes_the_running_one_quick_and_begins_no_other() -> None:
    files = Files()
    scrub = Scrub(files.verify, lambda error: None, bytes_per_s=1, after_start_s=0.0)
    with running(scrub):
        wait_until(lambda: scrub.progress.done_bytes > 0, 5, "it pauses for a quarter of an hour")
        scrub.begin()
        scrub.begin()
        wait_until(lambda: scrub.progress.last_end > 0, 5, "it has ended")
    assert files.scrubs == 1


def test_who_waits_for_a_scrub_waits_for_a_whole_one() -> None:
    files, ended = Files(), threading.Event()
    scrub = Scrub(files.verify, lambda error: None, bytes_per_s=1, after_start_s=0.0)
    with running(scrub):
        wait_until(lambda: scrub.progress.done_bytes > 0, 5, "one is on its way")
        assert scrub.run_now(5)
        ended.set()
    assert files.scrubs == 2


@pytest.mark.parametrize("failure", [OSError(24, "Too many open files"), DiskFull("Too many open files")])
def test_a_scrub_that_fails_is_tried_again_and_says_why(failure: Exception, caplog: pytest.LogCaptureFixture) -> None:
    files, clock = Files(), Clock()
    scrub = Scrub(files.verify, lambda error: None, clock=clock)
    files.failure = failure
    scrub._scrub()
    assert "Too many open files" in caplog.text and scrub.progress.last_end == 0
    assert scrub._due_s < EVERY_S


def test_a_stop_ends_a_scrub_in_the_middle() -> None:
    scrub = Scrub(Files().verify, lambda error: None, bytes_per_s=1, after_start_s=0.0)
    with running(scrub):
        wait_until(lambda: scrub.progress.done_bytes > 0, 5, "it pauses")
    assert scrub.progress.last_end == 0
