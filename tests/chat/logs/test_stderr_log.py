"""The log on stderr: whole, in order, and nobody waits for its reader."""

import io
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chat.logs import stderr_log
from chat.logs.stderr_log import StderrLog
from tests.support.waiting import wait_until

DEADLINE_S = 10.0
BOUND = 5


class Pipe(io.BytesIO):
    """What the log is written to; `is_read` set: somebody reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read, self.hangs = threading.Event(), threading.Event()
        self.is_gone = False

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        if not self.is_read.is_set():
            self.hangs.set()
            assert self.is_read.wait(DEADLINE_S)
        if self.is_gone:
            raise BrokenPipeError
        return super().write(data)

    def lines(self) -> list[str]:
        return self.getvalue().decode().splitlines()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


@contextmanager
def logging_to(pipe: Pipe) -> Iterator[tuple[StderrLog, logging.Logger]]:
    """A logger, and the writer's own one, that write to the pipe."""
    log = StderrLog(pipe)
    loggers = (logging.getLogger("test_stderr_log"), stderr_log.logger)
    for logger in loggers:
        logger.setLevel("INFO")
        logger.addHandler(log)
        logger.propagate = False
    try:
        yield log, loggers[0]
    finally:
        pipe.is_read.set()
        log.finish()
        for logger in loggers:
            logger.removeHandler(log)
            logger.propagate = True
            logger.setLevel("NOTSET")


def test_lines_that_nobody_reads_are_lost_counted_and_told_where_they_are_missing(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stderr_log, "LINES_MAX", BOUND)
    with logging_to(pipe) as (log, logger):
        logger.info("first")
        assert pipe.hangs.wait(DEADLINE_S)
        for number in range(BOUND + 3):
            logger.info("%d", number)  # would hang
        assert log.lost == 3
        pipe.is_read.set()
        wait_until(lambda: "lost" in pipe.getvalue().decode(), DEADLINE_S, "the loss is told")
        logger.info("last")
    told = "this log lost 3 lines: stderr is not read fast enough, or cannot be written"
    assert pipe.lines() == ["first", *map(str, range(BOUND)), told, "last"]


def test_a_thread_that_logs_waits_for_no_writer_that_tells_what_was_lost(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stderr_log, "LINES_MAX", 1)
    told = threading.Event()

    class Stalling(Pipe):
        def write(self, data: memoryview, /) -> int:  # type: ignore[override]
            if b"lost" in bytes(data):
                self.is_read.clear()
                told.set()
            return super().write(data)

    stalling = Stalling()
    with logging_to(stalling) as (_, logger):
        logger.info("first")
        assert stalling.hangs.wait(DEADLINE_S)
        logger.info("second")
        logger.info("lost one")
        stalling.is_read.set()
        assert told.wait(DEADLINE_S)
        logger.info("nobody waits")  # would hang if the writer held the handler's lock
        assert stalling.lines() == ["first"]
    assert stalling.lines()[-1] == "nobody waits"


def test_what_was_logged_last_is_written_before_the_end(pipe: Pipe) -> None:
    pipe.is_read.set()
    with logging_to(pipe) as (log, logger):
        for number in range(1_000):
            logger.error("%d", number)
        log.finish()
        assert pipe.lines() == [str(number) for number in range(1_000)]


def test_the_end_does_not_wait_for_a_reader_for_ever(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.logs.line_queue.CLOSE_S", 0.01)
    with logging_to(pipe) as (log, logger):
        logger.error("first")
        assert pipe.hangs.wait(DEADLINE_S)
        log.finish()
        assert pipe.lines() == []


def test_a_reader_that_is_gone_costs_no_more_than_its_lines(pipe: Pipe) -> None:
    pipe.is_read.set()
    pipe.is_gone = True
    with logging_to(pipe) as (log, logger):
        logger.info("first")
        wait_until(lambda: log.lost == 1, DEADLINE_S, "the line is lost")
        pipe.is_gone = False
        logger.info("second")
        wait_until(lambda: len(pipe.lines()) == 2, DEADLINE_S, "the loss is told")
        assert log.lost == 1  # the writer wrote nothing on its own meanwhile
    assert pipe.lines()[0] == "second"
    assert "this log lost 1 lines" in pipe.lines()[1]


def test_a_line_that_the_encoding_lacks_is_escaped(pipe: Pipe) -> None:
    pipe.is_read.set()
    log = StderrLog(pipe, "ascii")
    log.put("ä \ud800")
    log.finish()
    assert pipe.lines() == [r"\xe4 \ud800"]
