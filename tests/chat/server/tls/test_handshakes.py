"""The steps of handshakes: one network does not hold the others up, and a failure does not end the thread."""

import threading

import pytest

from chat.server.tls.handshakes import Handshakes
from tests.chat.wire import DEADLINE_S, threads_of


class Step:
    """A connection whose next step is noted."""

    def __init__(self, number: int, network: str, taken: list[int], done: threading.Event | None = None) -> None:
        self.descriptor, self.network = number, network
        self._taken, self._done = taken, done

    def shake_hands(self) -> None:
        self._taken.append(self.descriptor)
        if self._done is not None:
            self._done.set()

    def finish(self) -> None:
        self._taken.append(-self.descriptor)


class Broken(Step):
    def shake_hands(self) -> None:
        raise LookupError("a bug")


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.server.tls.handshakes.THREADS_MAX", 1)


@pytest.mark.usefixtures("one_thread")
def test_the_networks_take_turns() -> None:
    taken: list[int] = []
    done = threading.Event()
    handshakes = Handshakes("turns")
    for number in range(500):
        handshakes.put(Step(number, "10.0.0.1", taken))
    handshakes.put(Step(1000, "10.0.0.2", taken))
    handshakes.put(Step(1001, "", taken))
    handshakes.put(Step(1002, "", taken))  # who shares an address with many has a turn of its own
    handshakes.put(Step(999, "10.0.0.1", taken, done))
    handshakes.start()
    assert done.wait(DEADLINE_S)
    handshakes.stop(DEADLINE_S)
    assert taken[:6] == [0, 1000, 1001, 1002, 1, 2]
    assert taken[-1] == 999 and len(taken) == 504
    assert threads_of("turns") == []


@pytest.mark.usefixtures("one_thread")
def test_a_step_that_fails_does_not_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    taken: list[int] = []
    done = threading.Event()
    handshakes = Handshakes("broken")
    handshakes.start()
    handshakes.put(Broken(1, "a", taken))
    handshakes.put(Step(2, "b", taken, done))
    assert done.wait(DEADLINE_S)
    handshakes.stop(DEADLINE_S)
    assert taken == [-1, 2], "the broken one is closed"
    assert "LookupError: a bug" in caplog.text


def test_what_was_never_started_can_be_stopped() -> None:
    Handshakes("never").stop(DEADLINE_S)
