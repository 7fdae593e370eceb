"""Tell websockets that ask for it when this node loses its majority, and when it has one again: `{"Cluster": …}`.

Without the frame a page cannot know: reads may go on, and a post waits for seconds before it is refused.

Rules
- An election takes less than LOST_S, so a failover is not worth a frame.
- A websocket asks by `"Cluster": true` as it subscribes: others know nothing of such a frame.
- A node that has just started has not lost what it has not had yet.
- A websocket that subscribes while the majority is lost gets the frame at once.
- All methods run in the hub's selector thread.
"""

import json
from typing import Final

from chat.realtime.connection import Connection
from chat.realtime.hub import Hub
from chat.replica import Replica

LOST_S: Final = 1.5
LOOK_S: Final = 0.5


class MajorityNotice:
    """The notices of one node."""

    def __init__(self, hub: Hub, replica: Replica) -> None:
        self._hub = hub
        self._replica = replica
        self._asked: set[Connection] = set()  # websockets that want to know
        self._subscribers: set[Connection] = set()  # those of them that are subscribed
        self._is_lost = False
        self._began_at = hub.now()
        hub.listeners.append(self)
        hub.call(self._look)

    def ask(self, connection: Connection) -> None:
        """Tell this websocket from its next subscription on."""
        self._asked.add(connection)

    def greet(self, connection: Connection) -> None:
        """Register a subscriber, if it asked."""
        if connection not in self._asked:
            return
        self._subscribers.add(connection)
        if self._is_lost:
            connection.send(_PAYLOADS[False])

    def forget(self, connection: Connection) -> None:
        """Unregister a websocket that has ended."""
        self._asked.discard(connection)
        self._subscribers.discard(connection)

    def _look(self) -> None:
        age_s = min(self._replica.contact_age_s(), self._hub.now() - self._began_at)
        is_lost = age_s > LOST_S
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            for connection in [*self._subscribers]:
                connection.send(_PAYLOADS[not is_lost])
        self._hub.call_later(LOOK_S, self._look)


_PAYLOADS = {has: json.dumps({"Cluster": {"Majority": has}}).encode() for has in (True, False)}
