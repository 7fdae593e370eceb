"""The durations of HTTP requests by method, route and class of status: counted without a lock for each request.

The server appends each duration to a list, which is one step of the interpreter, so no thread loses another one's.
`settle` moves what has gathered into histograms; it is called about once a second, and before somebody looks.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Final, NamedTuple

from raft.metrics import Histogram

# Upper bounds of buckets, from an answer out of memory to one that was given up.
REQUEST_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

NO_ROUTE: Final = "none"  # the route of what leads nowhere, or is refused before its path is looked at
OTHER: Final = "other"  # the method of such a request, if it is no method of any route
STATUS_CLASSES: Final = 6  # 1xx to 5xx, by their first digit
SETTLED_AT_ONCE: Final = 4_096  # durations; some hundred microseconds in which no other thread runs

Durations = tuple[list[float], ...]  # by the first digit of the status


class _Series(NamedTuple):
    """The requests of one method and route."""

    gathered: Durations
    histograms: tuple[Histogram, ...]


class RequestDurations:
    """The requests of one node.  Any thread."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        """`routes`: method and path of each.  A GET route answers HEAD too."""
        self._lock = Lock()  # of the histograms
        self._series: dict[tuple[str, str], _Series] = {}
        self._used: dict[tuple[str, str, str], Histogram] = {}  # by method, path and class of status; under the lock
        for method, path in routes:
            self._add(method, path)
            self._add(method, NO_ROUTE)
            if method == "GET":
                self._add("HEAD", path)
        for method in ("HEAD", "OPTIONS", OTHER):
            self._add(method, NO_ROUTE)
        self.by_method: dict[str, dict[str, Durations]] = {}  # and by path, to be appended to
        for (method, path), series in self._series.items():
            self.by_method.setdefault(method, {})[path] = series.gathered
        self._all = [
            ((method, path, f"{digit}xx"), durations, histogram)
            for (method, path), series in self._series.items()
            for digit, (durations, histogram) in enumerate(zip(series.gathered, series.histograms, strict=True))
        ]
        self.refused: Durations = self.by_method[OTHER][NO_ROUTE]  # of requests whose method is not known

    def _add(self, method: str, path: str) -> None:
        if (method, path) not in self._series:
            gathered: Durations = tuple([] for _ in range(STATUS_CLASSES))
            histograms = tuple(Histogram(REQUEST_S) for _ in range(STATUS_CLASSES))
            self._series[method, path] = _Series(gathered, histograms)

    def without_route(self, method: str) -> Durations:
        """Return the durations of requests of this method that lead nowhere."""
        return self.by_method.get(method, self.by_method[OTHER])[NO_ROUTE]

    def settle(self) -> None:
        """Count what has gathered."""
        with self._lock:
            for kind, durations, histogram in self._all:
                if durations:
                    self._used[kind] = histogram
                while durations:
                    some = durations[:SETTLED_AT_ONCE]
                    del durations[: len(some)]  # others append behind these meanwhile
                    histogram.record_all(some)

    def counted(self) -> list[tuple[str, str, str, Histogram]]:
        """Return method, route, class of status and durations of all requests so far."""
        self.settle()
        with self._lock:
            return [(*kind, histogram) for kind, histogram in self._used.items()]
