"""The one lock of the engine.  The Node is touched only here.

`act` gives the Node an input, takes its Ready and gives the parts to queues, all under the lock.  Callbacks that answer
waiting callers run after the lock is free.  Code under the lock never waits for a disk, a network or another thread.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from raft.core.configuration import Configuration
from raft.core.node import Node, Ready, Role
from raft.errors import RaftError

T = TypeVar("T")
Callbacks = list[Callable[[], None]]  # calls to make when the lock is free
LeaderState = tuple[Role, int, int]  # (role, term, leader id; 0: none known)


def configurations(node: Node) -> tuple[Configuration, Configuration]:
    """Return the newest committed configuration, and the one in force."""
    return node.committed_configuration, node.configuration


class NodeLock:
    """Guards one Node."""

    def __init__(
        self,
        node: Node,
        on_leader_state: Callable[[LeaderState, LeaderState], None],
        on_broken: Callable[[Exception], None],
    ) -> None:
        """`on_leader_state(before, after)` is called after each change; `on_broken` ends the process."""
        self._lock = threading.Lock()
        self._node = node
        self._leader_state: LeaderState = (node.role, node.current_term, node.leader_id)
        # Set before the first `act` by the Driver, whose parts are made with this lock.
        self.on_ready: Callable[[Node, Ready, bool], Callbacks] = lambda node, ready, flushes: []
        self._on_leader_state = on_leader_state
        self.on_broken = on_broken

    @property
    def leader_id(self) -> int:
        """The leader, as last seen; 0: none is known.  Takes no lock, so it may be outdated at once."""
        return self._leader_state[2]

    @property
    def leader_state(self) -> LeaderState:
        """Role, term and leader, as last seen.  Takes no lock."""
        return self._leader_state

    def act(self, action: Callable[[Node], T], *, flushes: bool = False) -> T:
        """Run `action` on the node under the lock, then carry out the Ready.  Raises what `action` raises.

        `flushes`: the caller flushes the writes itself (group_commit.py); otherwise a thread is woken to do so.
        Anything but a RaftError leaves a Ready half carried out, so it ends the process.
        """
        try:
            result, error = self._act(action, flushes)
        except Exception as broken:
            self.on_broken(broken)
            raise
        if error is not None:
            raise error
        assert result is not None
        return result[0]

    def _act(self, action: Callable[[Node], T], flushes: bool) -> tuple[tuple[T] | None, RaftError | None]:
        result: tuple[T] | None = None
        error: RaftError | None = None
        with self._lock:
            try:
                result = (action(self._node),)
            except RaftError as raised:
                error = raised  # the Ready of earlier inputs still has to be carried out
            node = self._node
            callbacks = self.on_ready(node, node.ready(), flushes)
            before, after = self._leader_state, (node.role, node.current_term, node.leader_id)
            self._leader_state = after
        for callback in callbacks:
            callback()
        if before != after:
            self._on_leader_state(before, after)
        return result, error

    def read(self, see: Callable[[Node], T]) -> T:
        """Return what `see` reads from the node; gives the node no input."""
        with self._lock:
            return see(self._node)
