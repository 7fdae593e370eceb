"""What the routes of one application share, beside the engine and the state."""

from dataclasses import dataclass, field

from chat.auth.authenticator import Authenticator
from chat.realtime.sse import EventStreams
from chat.services.post_cache import PostCache
from chat.services.read_markers import PendingMarkers


@dataclass(frozen=True, slots=True)
class Services:
    """Handed to every request.  Whatever is in here is safe for any thread.

    `streams` is None while the node is starting.
    """

    authenticator: Authenticator
    streams: EventStreams | None = None
    pending_markers: PendingMarkers = field(default_factory=PendingMarkers)
    rendered: PostCache = field(default_factory=PostCache)
