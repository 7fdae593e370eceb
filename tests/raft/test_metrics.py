"""Histograms: which bucket a duration falls into, one at a time or many at once."""

from hypothesis import given
from hypothesis import strategies as st

from raft.metrics import Histogram

BOUNDS = (0.001, 0.01, 1.0)
DURATIONS = st.lists(st.sampled_from((0.0, 0.0005, 0.001, 0.0011, 0.01, 0.5, 1.0, 1.1, 100.0)))


def test_a_duration_counts_in_the_first_bucket_whose_bound_it_does_not_exceed() -> None:
    histogram = Histogram(BOUNDS)
    for duration_s in (0.0, 0.001, 0.0011, 1.0, 1.1, 100.0):
        histogram.record(duration_s)
    assert histogram.counts == [2, 1, 1, 2]
    assert round(histogram.sum_s, 4) == 102.1021


@given(durations=DURATIONS)
def test_many_at_once_count_as_each_by_itself(durations: list[float]) -> None:
    one, other = Histogram(BOUNDS), Histogram(BOUNDS)
    for duration_s in durations:
        one.record(duration_s)
    other.record_all(durations)
    assert one.counts == other.counts
    assert abs(one.sum_s - other.sum_s) < 1e-6
