"""The signals of a node: SIGTERM and SIGINT stop it, SIGHUP has files read again.

A second signal to stop ends the process at once, unless it comes within AT_ONCE_S of the first: then both are of one
stop, told by a service manager and by a terminal, say, or to a whole group of processes.

A thread waits for them.  A handler would run between any two steps of the main thread, even inside a lock.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from chat.process.service_manager import ServiceManager

logger = logging.getLogger(__name__)

AT_ONCE_S = 1.0  # far longer than signals of one cause lie apart, and shorter than anybody waits before they insist


class SignalThreads:
    """The threads that wait for signals and reload files.  They never end."""

    def __init__(
        self, signals: Sequence[signal.Signals], ended: threading.Event, service_manager: ServiceManager
    ) -> None:
        """`signals` are waited for; those that stop the node set `ended`."""
        self._signals = signals
        self._ended = ended
        self._service_manager = service_manager
        self._reload_asked = threading.Event()
        self.reload: list[Callable[[], None]] = []  # called on SIGHUP: each reads its files again

    def start(self) -> None:
        """Wait for signals from now on.  They have to be blocked in all threads."""
        for target, name in ((self._await_signals, "signals"), (self._await_reloads, "reloads")):
            threading.Thread(target=target, name=name, daemon=True).start()

    def _await_signals(self) -> None:
        first_s: float | None = None
        while True:
            if signal.sigwait(self._signals) == signal.SIGHUP:
                self._reload_asked.set()
                continue
            now_s = time.monotonic()
            if first_s is None:
                first_s = now_s
                self._ended.set()
            elif now_s - first_s >= AT_ONCE_S:
                os._exit(1)  # somebody insists

    def _await_reloads(self) -> None:
        """Reload in a thread of its own: a file on a network's disk, or a pipe, may hang, and SIGTERM must not wait."""
        while True:
            self._reload_asked.wait()
            self._reload_asked.clear()
            self._service_manager.reloading()
            self._reload()
            self._service_manager.reloaded()

    def _reload(self) -> None:
        """Read again the files that may have changed, on SIGHUP."""
        if not self.reload:
            logger.info("SIGHUP is ignored: there is nothing to reload; SIGTERM stops this node")
        for reload in self.reload:
            try:
                reload()
            except Exception:
                logger.exception("reloading a file failed; what was read before stays in force")
