"""The text format of Prometheus, version 0.0.4: families of metrics as lines of text.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Final

from chat.metrics.catalogue import Metric
from raft.metrics import Histogram

SERIES_MAX: Final = 1_024  # remembered: of each route a few, and some hundred bytes each
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Page:
    """The lines of one answer.  A family's samples come together, after `begin`."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._metric: Metric | None = None

    def begin(self, metric: Metric) -> None:
        """Begin the family of a metric."""
        self._metric = metric
        self._lines.append(f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n")

    def add(self, value: float, *labels: object) -> None:
        """Add a sample; `labels` are the values of the metric's labels, in their order."""
        assert self._metric is not None
        self._lines.append(f"{_series(self._metric, labels)} {_number(value)}\n")

    def add_histogram(self, histogram: Histogram, *labels: object) -> None:
        """Add the samples of one histogram."""
        assert self._metric is not None
        counts = list(accumulate(histogram.counts.copy()))
        values = (*counts, _number(histogram.sum_s), counts[-1])
        for series, value in zip(_histogram_series(self._metric, labels, histogram.bounds), values, strict=True):
            self._lines.append(f"{series} {value}\n")

    def one(self, metric: Metric, value: float) -> None:
        """Add a family of one sample without labels."""
        self.begin(metric)
        self.add(value)

    def encode(self) -> bytes:
        """Return the page."""
        return "".join(self._lines).encode()


# A series is written at each scrape: its name and labels are put together once.


@lru_cache(SERIES_MAX)
def _series(metric: Metric, labels: tuple[object, ...]) -> str:
    return f"{metric.name}{_braces(_pairs(metric, labels))}"


@lru_cache(SERIES_MAX)
def _histogram_series(metric: Metric, labels: tuple[object, ...], bounds: tuple[float, ...]) -> list[str]:
    """The buckets, the sum and the count."""
    name, pairs = metric.name, _pairs(metric, labels)
    buckets = [f"{name}_bucket{_braces([*pairs, _pair('le', bound)])}" for bound in (*map(_number, bounds), "+Inf")]
    return [*buckets, f"{name}_sum{_braces(pairs)}", f"{name}_count{_braces(pairs)}"]


def _pairs(metric: Metric, values: Sequence[object]) -> list[str]:
    return [_pair(name, value) for name, value in zip(metric.labels, values, strict=True)]


def _pair(name: str, value: object) -> str:
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def _braces(pairs: Sequence[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    """A number in Go's syntax: `+Inf`, `-Inf` and `NaN` beside the usual."""
    if isinstance(value, int):
        return str(int(value))
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
