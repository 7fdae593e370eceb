"""Pages of names, in the order of their code points: rooms and users are listed by them.

A page is found by names and not by numbers, so names that come or go meanwhile do not move it: a client that pages
through meets every name once that exists all the while.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

PAGE_NAMES_MAX = 1_000


class NamePage(NamedTuple):
    """Consecutive names as of one moment."""

    names: list[str]
    has_prev: bool  # there are names before these
    has_next: bool  # and after these; both False for an empty page, which leads nowhere


@dataclass(frozen=True, slots=True)
class NamePageRequest:
    """The page of names to return: at most one of before, after and around is set; none asks for the first page.

    The given name need not exist.  `around`: half of the page comes before it, and the rest begins with it;
    at an end the page is filled from the other side.  So with a limit of 1 it is this name, or the nearest.
    """

    limit: int = PAGE_NAMES_MAX
    before: str | None = None
    after: str | None = None
    around: str | None = None

    def page(self, *lists: Sequence[str]) -> NamePage:
        """The page of all that is in these lists, each of which ascends; what is in several is there once.

        Takes time by the limit and by the number of lists, and hardly by how long they are.
        """
        if self.after is not None:
            ends = [bisect_right(names, self.after) for names in lists]
        else:
            ends = [bisect_left(names, self.before or self.around or "") for names in lists]
        most = self.limit + 1  # one more, to see whether there is more
        lower = _merged([names[max(end - most, 0) : end] for names, end in zip(lists, ends, strict=True)])[-most:]
        upper = _merged([names[end : end + most] for names, end in zip(lists, ends, strict=True)])[:most]
        lower_taken, upper_taken = self._taken(len(lower), len(upper))
        names = [*lower[len(lower) - lower_taken :], *upper[:upper_taken]]
        return NamePage(names, bool(names) and len(lower) > lower_taken, bool(names) and len(upper) > upper_taken)

    def _taken(self, lower: int, upper: int) -> tuple[int, int]:
        """The numbers of names to take before the place asked for, and from there on."""
        if self.before is not None:
            return min(lower, self.limit), 0
        if self.around is None:
            return 0, min(upper, self.limit)
        upper = min(upper, max(self.limit - self.limit // 2, self.limit - lower))
        return min(lower, self.limit - upper), upper


def _merged(lists: list[Sequence[str]]) -> Sequence[str]:
    return lists[0] if len(lists) == 1 else sorted({name for names in lists for name in names})
