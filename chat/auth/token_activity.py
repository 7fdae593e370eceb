"""Token activity: the tokens used in this hour, until the state has them.

Rules.  Each node reports a token once an hour, however often it is used: so the log gets entries by the hour and not by
the request.  A crash loses one hour.
"""

from collections import OrderedDict
from threading import Lock

TOKENS_MAX = 10_000  # then those go that were noted first; they are noted again when they are used again


class TokenActivity:
    """The last use of each token at this node.  Any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._hours: OrderedDict[int, int] = OrderedDict()  # by token: the hour that it was noted in
        self._due: dict[int, None] = {}  # to be reported to the state, in this order

    def note(self, number: int, hour: int) -> None:
        """Note that a token was used in this hour since 1970.  Does not block."""
        if self._hours.get(number) == hour:
            return
        with self._lock:
            self._hours[number] = hour
            self._due[number] = None
            if len(self._hours) > TOKENS_MAX:
                forgotten, _ = self._hours.popitem(last=False)
                self._due.pop(forgotten, None)

    def take(self, count: int) -> tuple[int, ...]:
        """Take up to so many tokens, which the caller reports to the state."""
        with self._lock:
            taken = tuple(self._due)[:count]
            for number in taken:
                del self._due[number]
        return taken

    def put_back(self, numbers: tuple[int, ...]) -> None:
        """Keep these for another try: the report failed."""
        with self._lock:
            self._due.update(dict.fromkeys(number for number in numbers if number in self._hours))
