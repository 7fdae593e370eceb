"""What the routes of one application share, beside the engine and the state."""

from dataclasses import dataclass, field

from chat.auth.authenticator import Gatekeeper
from chat.realtime.sse import Streams
from chat.services.post_cache import RenderedPosts
from chat.services.read_markers import Marks


@dataclass(frozen=True, slots=True)
class Services:
    """Handed to every request.  Whatever is in here is safe for any thread.

    `streams` is None while the node is starting.
    """

    gatekeeper: Gatekeeper
    streams: Streams | None = None
    marks: Marks = field(default_factory=Marks)
    rendered: RenderedPosts = field(default_factory=RenderedPosts)
