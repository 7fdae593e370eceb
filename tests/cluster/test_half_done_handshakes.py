"""Some half-done handshakes: what 500 do is measured by `python -m tests.cluster.half_done_handshakes`."""

from pathlib import Path

from tests.cluster.half_done_handshakes import measure

HALF_WAITS_MS = 200  # it is about 5 ms; a handshake that held the others up would make all of them wait


def test_half_done_handshakes_hold_nobody_up(tmp_path: Path) -> None:
    for phase in measure(tmp_path, crowd=200, seconds=0.6):
        assert phase.failed == []
        assert phase.percentile(0.5) < HALF_WAITS_MS
