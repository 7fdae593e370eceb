"""`/rooms/{room}/read`: how far somebody has read a room."""

from http import HTTPStatus

from chat.api.request import Request, Response
from chat.api.router import Answer, Body, Route, Who
from chat.api.schemas import POST_ID, record
from chat.services import validation
from chat.services.read_markers import check_read_marker


def mark(request: Request, room: str) -> Response:
    """PUT /rooms/{room}/read: 202; within seconds the room is read up to this Id, where there is such a post."""
    request.acting()
    members = validation.only(validation.json_object(request.body()), "Id")
    request.services.pending_markers.note(check_read_marker(request.state, request.actor, room, members.get("id")))
    return Response(HTTPStatus.ACCEPTED)


ROUTES = (
    Route(
        "PUT", "/rooms/{room}/read", mark, Who.USER, "Have read a room up to a post",
        body=Body(record({"Id": POST_ID})), answers={202: Answer("Noted, and told to the cluster within seconds")},
        login=True, problems=("no_such_room",),
    ),
)  # fmt: skip
