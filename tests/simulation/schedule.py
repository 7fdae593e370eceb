"""Simulated time: a heap of what is to happen, in the order of when, and of asking where that is the same moment."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol


class Owner(Protocol):
    """Whose doing an event is: nothing of a dead one happens, and a paused one's events wait."""

    alive: bool
    held: list[tuple[Callable[..., object], tuple[Any, ...]]] | None  # while paused

    def do(self, act: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Carry it out, and deal with what it raises."""


class Schedule:
    """`now_ms` is what an observer outside of the cluster would call the time."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.events = 0
        self.digest = 0  # over all that happened, in order: equal for equal runs
        self._heap: list[tuple[float, int, Owner | None, Callable[..., object], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_ms: float, act: Callable[..., object], *args: object) -> None:
        """Do it in so many milliseconds, whoever is dead or paused then."""
        self._count += 1
        heappush(self._heap, (self.now_ms + delay_ms, self._count, None, act, args))

    def after_for(self, owner: Owner, delay_ms: float, act: Callable[..., object], *args: object) -> None:
        """Have `owner` do it in so many milliseconds."""
        self._count += 1
        heappush(self._heap, (self.now_ms + delay_ms, self._count, owner, act, args))

    def run(self, until_ms: float) -> None:
        """All that happens up to that moment."""
        heap = self._heap
        while heap and heap[0][0] <= until_ms:
            when, number, owner, act, args = heappop(heap)
            self.now_ms = when
            if owner is None:
                act(*args)
            elif not owner.alive:
                continue
            elif owner.held is not None:
                owner.held.append((act, args))
                continue
            else:
                owner.do(act, args)
            self.events += 1
            self.digest = hash((self.digest, when, number))
        self.now_ms = until_ms
