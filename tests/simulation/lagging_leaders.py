"""Reads at leaders that lag: members that believe they lead, and lack what a client has been told of.

Only there can a read be stale, and clients of their own accord hardly ever come in time: another member leads by then,
and its first answer to a client is soon followed by the end of the old leader's belief.  So somebody reads there at
each moment from which on a stale read can show:

- another member's client is told that its post stands
- a member comes to lead, and may not know yet what is committed
- a leader wakes from a pause: the read is served before all that waited meanwhile, as by a thread of its own

The engine may answer such a read late or not at all, but never with a page that is stale.
"""

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from chat.state.accounts import ADMIN, Acting
from chat.state.room import PageRequest
from raft.core.node import Role
from raft.errors import RaftError

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

READER = Acting("", ADMIN, operator=True)  # sees every room


class LaggingLeaders:
    """The readers of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._asked: set[Process] = set()  # a read there is not answered yet: one at a time
        self._reads: Counter[Process] = Counter()

    def look(self) -> None:
        """Read at every leader that lags now."""
        for process in self._world.network.running.values():
            if process.held is None and self._lags(process):
                process.schedule(0, self._read, process)

    def elected(self, process: "Process") -> None:
        """Read at a new leader that lags, as soon as it has carried out what made it lead."""
        if self._lags(process):
            process.schedule(0, self._read, process)

    def woken(self, process: "Process") -> None:
        """Read at a leader that has just been resumed and lags, before anything else happens there."""
        if self._lags(process):
            self._read(process)
            process.forwarding.run_reads()

    def reads_at(self, process: "Process") -> int:
        """Return how often somebody has read there when it lagged."""
        return self._reads[process]

    def _lags(self, process: "Process") -> bool:
        is_leader = process.node.role is Role.LEADER
        return is_leader and process.last_applied < self._world.history.newest[0] and process not in self._asked

    def _read(self, process: "Process") -> None:
        if process in self._asked:
            return
        self._asked.add(process)
        self._reads[process] += 1
        running, term = self._world.network.running.values(), process.node.current_term
        is_replaced = any(other.node.role is Role.LEADER and other.node.current_term > term for other in running)
        self._world.counts["reads at leaders that are replaced" if is_replaced else "reads at leaders that lag"] += 1
        process.forwarding.read(self._shown(process))

    def _shown(self, process: "Process") -> Callable[[RaftError | None], None]:
        history = self._world.history
        room = history.newest[1]
        began_at, changed_at = history.seen(room), history.revisions.acknowledged(room)

        def shown(error: RaftError | None) -> None:
            self._asked.discard(process)
            if error is not None:
                return
            page = process.state.page(room, PageRequest(limit=3), READER)
            try:
                posts = process.shown(page)
            except LookupError:
                return  # a snapshot is about to take the state's place
            history.read_done(page, room, posts, began_at, changed_at)

        return shown
