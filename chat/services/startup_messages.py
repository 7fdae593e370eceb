"""What a node says of the cluster's mode to who started it: how to begin, and what may not be what was meant.

Rules.  A line each, when it becomes so, and not again while it stays so.  The set-up token is the one secret that is
ever printed: it is this process's own, and good for nothing once there is a user.
"""

import ipaddress
import logging
from collections.abc import Callable

from chat.state.machine import ChatState
from chat.state.settings import LOGIN, OPEN

logger = logging.getLogger(__name__)


class StartupMessages:
    """Of one node; for one thread."""

    def __init__(
        self,
        state: ChatState,
        *,
        url: str,
        host: str,
        auth: str | None,
        setup: str,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        """`url`: where clients reach the node; `host`: what it listens on; `auth`: what it was told of the mode."""
        self._state = state
        self._url = url
        self._is_local = _is_loopback(host)
        self._host = host
        self._auth = auth
        self._setup = setup
        self._say = say
        self._seen: tuple[str, bool] | None = None

    def look(self) -> None:
        """Say what has become so."""
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
            self._say(f"whoever reaches {self._host} reads and writes under any name: --auth login asks who it is")
        if mode == LOGIN and self._auth == OPEN:
            self._say("this cluster asks for a login, whatever --auth open says: raft-chat auth open ends that")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
