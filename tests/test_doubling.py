"""No reader takes more than its share of the processor for the longest legal input, and none is left out.

What every row comes to, `python -m tests.doubling` prints.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.doubling import entry_points, websocket_rows
from tests.doubling.__main__ import SETS, Rows, all_rows
from tests.doubling.rows import BOUND_MS, BRIEF, Case, Row, measured, outcome


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    websocket_rows.close()


@pytest.mark.parametrize("rows", SETS, ids=lambda rows: rows.__module__.rpartition(".")[2])
def test_no_reader_is_slow_or_worse_than_linear(rows: Rows) -> None:
    faults = [fault for row in rows() if not row.takes_long for fault in measured(row, BRIEF).faults]
    assert not faults


def _tried(row: Row) -> None:
    outcome(row.make(0.04))


def test_every_entry_point_is_reached_by_a_row() -> None:
    def runs() -> Iterator[Callable[[], object]]:
        for row in all_rows():
            if not row.takes_long:
                yield partial(_tried, row)

    websocket_rows.close()  # threads that are there already are not seen
    missing = entry_points.unreached(runs())
    assert not missing, "give each a row in tests/doubling, or a reason in entry_points.ELSEWHERE"


def test_what_no_row_reaches_is_still_there() -> None:
    assert set(entry_points.ELSEWHERE) <= {":".join(place) for place in entry_points.found()}


def _spent(work: list[int], share: float, exponent: int) -> Case:
    """What takes as long as its size to this power, by a clock of its own."""
    size = int(share * 100)

    def run(_: object) -> None:
        work[0] += size**exponent

    return Case(size, run, clock=lambda: work[0] / 1e6)


def test_what_is_worse_than_linear_fails() -> None:
    """With a clock that says how long it took."""
    linear = measured(Row("linear", partial(_spent, [0], exponent=1)))
    cubic = measured(Row("cubic", partial(_spent, [0], exponent=3)))
    assert not linear.faults
    assert [fault.partition(" times")[0] for fault in cubic.faults] == [
        "cubic: 8.0",
        f"cubic: 1000.0 ms of the processor (at most {BOUND_MS:.0f})",
    ]


def test_a_function_that_nobody_calls_is_found_missing() -> None:
    assert ("chat/server/http.py", "parse_head") in entry_points.unreached([])
