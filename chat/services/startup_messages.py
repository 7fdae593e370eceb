"""Startup messages: lines for the operator about the cluster's mode, with how to begin and warnings.

Rules.  One line each, when it becomes true, and not again while it stays so.  The set-up token is the only secret that
is ever printed: it belongs to this process, and is useless once there is a user.
"""

import logging
from collections.abc import Callable

from chat.state.settings import LOGIN, OPEN
from chat.state.tables import StateReader
from raft.core.urls import is_loopback

logger = logging.getLogger(__name__)


def _warn(text: str) -> None:
    logger.warning("%s", text)


class StartupMessages:
    """The lines about the mode that a node logs at its start, and when the mode changes.  For one thread."""

    def __init__(
        self,
        state: StateReader,
        *,
        url: str,
        host: str,
        auth: str | None,
        setup: str,
        say: Callable[[str], None] = _warn,
    ) -> None:
        """`url`: the clients' URL of the node; `host`: the address it listens on; `auth`: the value of --auth."""
        self._state = state
        self._url = url
        self._is_local = is_loopback(host)
        self._host = host
        self._auth = auth
        self._setup = setup
        self._say = say
        self._seen: tuple[str, bool] | None = None

    def look(self) -> None:
        """Print the messages that have become true."""
        mode, has_users = seen = self._state.ask(lambda tables: (tables.settings.auth, bool(tables.users)))
        if seen == self._seen:
            return
        was = self._seen[0] if self._seen else None
        self._seen = seen
        if mode == LOGIN and not has_users:
            self._say(f"set up the first account at {self._url}/ with the token {self._setup}")
        if mode == was:
            return
        if mode == OPEN and self._auth != LOGIN and not self._is_local:
            self._say(
                f"anybody who can reach {self._host} reads and writes under any name: --auth login makes users sign in"
            )
        if mode == LOGIN and self._auth == OPEN:
            self._say("users have to sign in here, whatever --auth open says: raft-chat auth open changes that")
