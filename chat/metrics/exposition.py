"""The text format of Prometheus, version 0.0.4: families of metrics as lines of text.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from chat.metrics.catalogue import Metric
from raft.metrics import Histogram

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
        self._lines.append(f"{self._metric.name}{_braces(self._pairs(labels))} {_number(value)}\n")

    def add_histogram(self, histogram: Histogram, *labels: object) -> None:
        """Add the samples of one histogram."""
        assert self._metric is not None
        name, pairs = self._metric.name, self._pairs(labels)
        counts = list(accumulate(histogram.counts.copy()))
        for bound, count in zip((*map(_number, histogram.bounds), "+Inf"), counts, strict=True):
            self._lines.append(f"{name}_bucket{_braces([*pairs, _pair('le', bound)])} {count}\n")
        self._lines.append(f"{name}_sum{_braces(pairs)} {_number(histogram.sum_s)}\n")
        self._lines.append(f"{name}_count{_braces(pairs)} {counts[-1]}\n")

    def one(self, metric: Metric, value: float) -> None:
        """Add a family of one sample without labels."""
        self.begin(metric)
        self.add(value)

    def encode(self) -> bytes:
        """Return the page."""
        return "".join(self._lines).encode()

    def _pairs(self, values: Sequence[object]) -> list[str]:
        assert self._metric is not None
        return [_pair(name, value) for name, value in zip(self._metric.labels, values, strict=True)]


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
