"""`/rooms/{room}/read`: the read marker of a user in a room."""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Response
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import BOOLEAN, POST_ID, record
from chat.services import validation
from chat.services.read_markers import check_read_marker, note_marker


def mark(request: Request, room: str) -> Response:
    """PUT /rooms/{room}/read: 202; within seconds the room is marked as read up to this Id, if there is such a post.

    With `"Unread": true` the message of this Id and all after it are marked as unread.
    """
    request.acting()
    members = validation.only(validation.json_object(request.body()), "Id", "Unread")
    marker = check_read_marker(request.state, request.actor, room, members.get("id"))
    note_marker(request.services.pending_markers, marker, members.get("unread", False))
    return Response(HTTPStatus.ACCEPTED)


ROUTES = (
    Route(
        "PUT", "/rooms/{room}/read", mark, Access.USER,
        "Mark a room as read up to a message, or as unread from one",
        body=Body(record({"Id": POST_ID}, {"Unread": BOOLEAN})),
        answers={202: Answer("Noted, and told to the cluster within seconds")},
        login=True, problems=("no_such_room",),
    ),
)  # fmt: skip
