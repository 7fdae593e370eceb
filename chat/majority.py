"""Tell subscribed websockets when this node loses its majority, and when it has one again: `{"Cluster": …}`.

Without the frame a page cannot know: reads may go on, and a post waits for seconds before it is refused.

Rules
- An election takes less than LOST_S, so a failover is not worth a frame.
- A websocket that subscribes while the majority is lost gets the frame at once.
- All methods run in the hub's selector thread.
"""

import json
from typing import Final

from chat.hub import Hub
from chat.link import Link, text_frame
from chat.replica import Replica

LOST_S: Final = 1.5
LOOK_S: Final = 0.5


class MajorityNotice:
    """Of one node."""

    def __init__(self, hub: Hub, replica: Replica) -> None:
        self._hub = hub
        self._replica = replica
        self._subscribers: set[Link] = set()
        self._is_lost = False
        hub.call(self._look)

    def greet(self, link: Link) -> None:
        """Register a subscriber."""
        self._subscribers.add(link)
        if self._is_lost:
            link.queue(_FRAMES[False])

    def forget(self, link: Link) -> None:
        """Unregister a websocket that has ended."""
        self._subscribers.discard(link)

    def _look(self) -> None:
        is_lost = self._replica.contact_age_s() > LOST_S
        if is_lost != self._is_lost:
            self._is_lost = is_lost
            for link in [*self._subscribers]:
                link.queue(_FRAMES[not is_lost])
        self._hub.call_later(LOOK_S, self._look)


_FRAMES = {has: text_frame(json.dumps({"Cluster": {"Majority": has}}).encode()) for has in (True, False)}
