"""When the log is looked after."""

from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from raft.housekeeping import Housekeeper


def test_a_wall_clock_that_is_set_makes_no_file_older(monkeypatch: pytest.MonkeyPatch) -> None:
    wall_s, swept_at_s, stopping = [1e9], list[float](), Event()

    def sweep(now_s: float) -> None:
        swept_at_s.append(now_s)
        wall_s[0] += 1e6
        if len(swept_at_s) == 2:
            stopping.set()

    monkeypatch.setattr("time.time", lambda: wall_s[0])
    monkeypatch.setattr("raft.housekeeping.CHECK_S", 0.001)
    storage: Any = SimpleNamespace(snapshot=None, sweep=sweep)
    anything: Any = None
    keeper = Housekeeper(anything, storage, anything, anything, anything)
    monkeypatch.setattr(keeper, "look_over", lambda: None)
    keeper.run(stopping)
    assert 0 <= swept_at_s[1] - swept_at_s[0] < 1e5
