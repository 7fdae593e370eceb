"""`/events`: the events of rooms, as server-sent events."""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Detached, Response
from chat.api.router import Access, Answer, Route
from chat.api.schemas import NAME, TEXT, array
from chat.errors import invalid, unavailable
from chat.server.responses import head_of_stream
from chat.services import validation
from chat.services.cursors import parse_cursor

EVENT_STREAM = "text/event-stream"
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # a proxy of nginx's kind would wait for more
]


def follow(request: Request) -> Response | Detached:
    """GET /events[?rooms=a,b]: stream events from now on, or after the header `Last-Event-ID`."""
    rooms = _rooms(request)
    streams = request.services.streams
    if streams is None or not request.replica.cluster_id:
        raise unavailable("this node is starting")
    cursor = request.environ.get("HTTP_LAST_EVENT_ID") or None
    place = None if cursor is None else parse_cursor(cursor)
    request.acting()
    response = Response(HTTPStatus.OK, content_type=EVENT_STREAM, headers=[*_HEADERS], pieces=iter(()))
    if request.method == "HEAD":
        return response
    head = head_of_stream(
        request.head(request.completed(response)), chunked=request.environ["SERVER_PROTOCOL"] != "HTTP/1.0"
    )
    streams.open(request.environ, head, rooms, place, request.actor)
    return Detached()


def _rooms(request: Request) -> frozenset[str] | None:
    names = request.query().texts("rooms")
    if names is not None and len(names) > validation.FOLLOWED_ROOMS_MAX:
        raise invalid("rooms", f"at most {validation.FOLLOWED_ROOMS_MAX:,} names")
    return None if names is None else frozenset(validation.name("rooms", name) for name in names)


ROUTES = (
    Route(
        "GET", "/events", follow, Access.USER,
        "Stream the events of all rooms, or of the named ones, as server-sent events",
        answers={200: Answer("Frames as the websocket's; an event's id is its Cursor", content_type=EVENT_STREAM)},
        problems=("bad_cursor", "too_many_streams"), query={"rooms": array(NAME, validation.FOLLOWED_ROOMS_MAX)},
        headers={"Last-Event-ID": TEXT},
    ),
)  # fmt: skip
