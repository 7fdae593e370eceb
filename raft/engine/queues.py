"""Batching: take all that is in a queue, so that a thread handles in one batch what came while it worked."""

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

ITEMS_MAX = 1 << 16


def drain(queue: "SimpleQueue[T]", most: int = ITEMS_MAX) -> list[T]:
    """Wait for one item, then take all others that are there."""
    return [queue.get(), *drain_nowait(queue, most - 1)]


def drain_nowait(queue: "SimpleQueue[T]", most: int = ITEMS_MAX) -> list[T]:
    """Take the items that are there now."""
    items: list[T] = []
    if queue.empty():  # most often, at each tick
        return items
    try:
        while len(items) < most:
            items.append(queue.get_nowait())
    except Empty:
        return items
    return items
