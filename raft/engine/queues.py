"""Taking from a queue all that is there: how a thread turns what gathers while it works into one batch."""

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

ITEMS_MAX = 1 << 16


def drain(queue: "SimpleQueue[T]", most: int = ITEMS_MAX) -> list[T]:
    """Wait for one item, then take what else is there."""
    return [queue.get(), *drain_nowait(queue, most - 1)]


def drain_nowait(queue: "SimpleQueue[T]", most: int = ITEMS_MAX) -> list[T]:
    """What is there now."""
    items: list[T] = []
    try:
        while len(items) < most:
            items.append(queue.get_nowait())
    except Empty:
        return items
    return items
