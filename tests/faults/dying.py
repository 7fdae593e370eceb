"""raft-chat, but for one thing: it kills itself at its Nth sync.

The file `order` holds N, where it is there: at the start, then the syncs are counted from the start on; or when SIGUSR1
comes, then from there on.  fsync and fdatasync count alike, in all threads together.  An odd N kills before the sync is
done, an even one after it, before anybody hears of it.
"""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from raft.storage import disk


class Death:
    """Counts down to it.  Only syncs are counted, so a lock around the count costs nothing."""

    def __init__(self, order: Path) -> None:
        self._order = order
        self._lock = threading.Lock()
        self._left = 0  # syncs until death, that one included; 0 for none
        self._is_before = False
        self.take_order()

    def take_order(self, *signal_and_frame: object) -> None:
        if self._order.exists():
            nth = int(self._order.read_text())
            self._is_before = nth % 2 == 1
            self._left = nth

    def count(self) -> bool:
        """Whether this sync is the one."""
        with self._lock:
            if self._left == 0:
                return False
            self._left -= 1
            return self._left == 0

    def around(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            dies = self.count()
            if dies and self._is_before:
                os.kill(os.getpid(), signal.SIGKILL)
            real(descriptor)
            if dies:
                os.kill(os.getpid(), signal.SIGKILL)

        return sync


def install(order: Path) -> None:
    """Have this process, in which nothing of raft-chat runs yet, die at a sync."""
    death = Death(order)
    signal.signal(signal.SIGUSR1, death.take_order)
    for module, name in ((os, "fsync"), (disk, "_fdatasync")):
        setattr(module, name, death.around(getattr(module, name)))
