"""`/rooms/{room}/import`: put the messages of an export into a room, and ask how far that has come."""

import json
from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Read, Response
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import (
    BOOLEAN,
    CLIENT_ID,
    MOMENT,
    NAME,
    POST_ID,
    READING,
    WAITING,
    array,
    integer,
    mapping,
    record,
    text,
)  # fmt: skip
from chat.errors import invalid
from chat.services import validation
from chat.services.imports import Imported, Target, check_lines, check_source, progress_of, run
from chat.services.validation import MESSAGE_POINTS_MAX

NDJSON = "application/x-ndjson"


def import_messages(request: Request, room: str) -> Response:
    """POST /rooms/{room}/import?source=: 200 once all messages of the body are imported, each once."""
    request.wait_for_min_index()
    request.catch_up()  # also with what an earlier try, at another node, has imported
    _check_user(request, room)
    target = _target(request, room)
    lines = check_lines(target.source, request.body(), request.replica.agreed_time())
    done = run(request.replica, request.state, request.actor, target, lines, request)
    return Response(HTTPStatus.OK, _json(target, done), log_index=done.log_index)


def show_progress(request: Request, room: str) -> Read:
    """GET /rooms/{room}/import?source=: how many messages of this import are in the room."""

    def render() -> Response:
        seen = request.replica.last_applied
        _check_user(request, room)
        target = _target(request, room)
        done = Imported(progress_of(request.state, request.actor, target).messages, seen)
        headers = [("Cache-Control", "no-store")]
        return Response(HTTPStatus.OK, _json(target, done), headers=headers, log_index=done.log_index)

    return Read.asked(request.query(), render)


def _check_user(request: Request, room: str) -> None:
    """Raise Problem if the user may not import into the room: before anything is said of what they sent."""
    progress_of(request.state, request.actor, Target(validation.name("RoomName", room), ""))


def _target(request: Request, room: str) -> Target:
    source = request.query().text("source")
    if source is None:
        raise invalid("source", "missing")
    return Target(validation.name("RoomName", room), check_source("source", source))


def _json(target: Target, done: Imported) -> bytes:
    value = {"Source": target.source, "Messages": done.messages}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# Of each line of the body.
_LINE = record(
    {"Id": POST_ID, "User": NAME, "Message": text(MESSAGE_POINTS_MAX, 0), "PostedAt": MOMENT},
    {
        "ClientId": CLIENT_ID, "EditedAt": MOMENT, "ReplyTo": POST_ID, "Reactions": mapping(array(NAME)),
        "Deleted": BOOLEAN, "Pinned": BOOLEAN, "Imported": {},
    },
)  # fmt: skip
_PROGRESS = record({"Source": NAME, "Messages": integer()})
_SOURCE = {"source": NAME}
_PROBLEMS = ("no_such_room", "room_gone", "archived")

ROUTES = (
    Route(
        "POST", "/rooms/{room}/import", import_messages, Access.ADMIN,
        "Import the messages of an export into a room, with their authors and times",
        body=Body(_LINE, content_type=NDJSON),
        answers={200: Answer("How many messages of this import the room has now", _PROGRESS)},
        problems=(*_PROBLEMS, "import_gap", "no_such_post", "level_too_low"), query={**_SOURCE, **WAITING},
    ),
    Route(
        "GET", "/rooms/{room}/import", show_progress, Access.ADMIN, "Show how far an import has come", waits=False,
        answers={200: Answer("How many messages of this import the room has", _PROGRESS)},
        problems=_PROBLEMS, query={**_SOURCE, **READING},
    ),
)  # fmt: skip
