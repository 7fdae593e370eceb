"""Which tokens were used, to the hour, until the state is told of it.

Rules.  A token is told of once an hour by each node that sees it used, however often that is, and whatever its clock
says: so the log has as many entries for this as there are hours, and not as there are requests.  What is lost here, by
a crash say, is that one hour.
"""

from collections import OrderedDict
from threading import Lock

TOKENS_MAX = 10_000  # then those go that were noted first; they are noted again when they are used again


class TokenActivity:
    """Of one node.  Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._hours: OrderedDict[int, int] = OrderedDict()  # by token: the hour that it was noted in
        self._due: dict[int, None] = {}  # the state is to be told of these, in this order

    def note(self, number: int, hour: int) -> None:
        """A token was used in this hour since 1970; at once."""
        if self._hours.get(number) == hour:
            return
        with self._lock:
            self._hours[number] = hour
            self._due[number] = None
            if len(self._hours) > TOKENS_MAX:
                forgotten, _ = self._hours.popitem(last=False)
                self._due.pop(forgotten, None)

    def take(self, count: int) -> tuple[int, ...]:
        """Up to so many that the state is to be told of, which is up to the caller from now on."""
        with self._lock:
            taken = tuple(self._due)[:count]
            for number in taken:
                del self._due[number]
        return taken

    def put_back(self, numbers: tuple[int, ...]) -> None:
        """The state could not be told of these."""
        with self._lock:
            self._due.update(dict.fromkeys(number for number in numbers if number in self._hours))
