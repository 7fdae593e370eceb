"""What `--slice` leaves out of one test that tries many places or draws many examples (tests/conftest.py says why).

conftest sets `is_slice` before any test is imported.
"""

from collections.abc import Sequence
from typing import TypeVar

STEP = 7  # no power of two: places whose number decides which bit is flipped all come about
EXAMPLES_SHARE = 5

is_slice = False
_T = TypeVar("_T")


def some(places: Sequence[_T]) -> Sequence[_T]:
    """All of these places; with `--slice` the first of every seven."""
    return places[::STEP] if is_slice else places


def examples(count: int) -> int:
    """Return how many examples hypothesis is to draw where a test asks for `count`."""
    return max(1, count // EXAMPLES_SHARE) if is_slice else count
