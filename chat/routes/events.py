"""`/events`: what happens in the rooms, as server-sent events."""

from http import HTTPStatus

from chat import validation
from chat.problems import invalid, unavailable
from chat.request import Request, Response
from chat.stream import Streams
from chat.subscription import parse_cursor
from chat.websocket import ROOMS_MAX

_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # a proxy of nginx's kind would wait for more
]


class Events:
    """The route; without `streams` it has nothing to tell yet."""

    def __init__(self, streams: Streams | None) -> None:
        self._streams = streams

    def follow(self, request: Request) -> Response:
        """GET /events[?rooms=a,b]: from now on, or from after the header `Last-Event-ID` on; until the client goes."""
        rooms = _rooms(request)
        cluster_id = request.replica.cluster_id
        if self._streams is None or not cluster_id:
            raise unavailable("this node is starting")
        cursor = request.environ.get("HTTP_LAST_EVENT_ID") or None
        if cursor is not None:
            parse_cursor(cursor, cluster_id)
        request.acting()
        asked_for_head = request.environ["REQUEST_METHOD"] == "HEAD"
        pieces = iter(()) if asked_for_head else self._streams.open(rooms, cursor)
        return Response(HTTPStatus.OK, content_type="text/event-stream", headers=[*_HEADERS], pieces=pieces)


def _rooms(request: Request) -> list[str] | None:
    names = request.query().texts("rooms")
    if names is not None and len(names) > ROOMS_MAX:
        raise invalid("rooms", f"at most {ROOMS_MAX:,} names")
    return None if names is None else [validation.name("rooms", name) for name in names]
