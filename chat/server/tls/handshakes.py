"""Take the steps of handshakes in a thread of their own: each may cost a millisecond, for the private key is used.

Rules
- A connection is here while a step of its handshake waits or is taken, and with the poller while the client is waited
  for.  So a client that is mute or slow holds no thread, and no step makes the poller wait.
- The networks take turns, so that nobody waits behind all that one address begins at once.
- The interpreter's lock is released while OpenSSL computes.  Half of the processors are left to all else.
"""

import logging
import os
import threading
from collections import deque
from typing import Final, Protocol

logger = logging.getLogger(__name__)

THREADS_MAX: Final = 4  # some thousand handshakes a second, with an RSA key too


class ShakingConnection(Protocol):
    """A connection, as its handshake sees it."""

    descriptor: int

    @property
    def network(self) -> str:
        """The network that the client counts for; "" if many share one address."""

    def shake_hands(self) -> None:
        """Take a step, and give the connection on: to the poller, or to its end."""

    def finish(self) -> None:
        """Close the connection."""


class Handshakes:
    """The connections whose next step waits; no more than the server has connections."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._waiting: dict[str | int, deque[ShakingConnection]] = {}  # by network, whose turn it is first
        self._stopped = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-handshakes-{number}", daemon=True)
            for number in range(1, max(1, min(THREADS_MAX, (os.cpu_count() or 1) // 2)) + 1)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the threads.  The connections are left as they are."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout_s)

    def put(self, connection: ShakingConnection) -> None:
        """Have a thread take the connection's next step; any thread."""
        network = connection.network or connection.descriptor
        with self._changed:
            self._waiting.setdefault(network, deque()).append(connection)
            self._changed.notify()

    def _next(self) -> ShakingConnection | None:
        """Return a connection of the network whose turn it is; None once stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if self._stopped:
                return None
            network = next(iter(self._waiting))
            its_own = self._waiting.pop(network)
            connection = its_own.popleft()
            if its_own:
                self._waiting[network] = its_own  # behind all others
            return connection

    def _run(self) -> None:
        while (connection := self._next()) is not None:
            try:
                connection.shake_hands()
            except Exception:  # a bug: it costs this connection, not the others
                logger.exception("%s: a step of a handshake failed", self._name)
                self._finish(connection)

    def _finish(self, connection: ShakingConnection) -> None:
        """Close a connection that nobody else has."""
        try:
            connection.finish()
        except Exception:
            logger.exception("%s: a connection cannot be closed", self._name)
