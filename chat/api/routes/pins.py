"""Posts that are pinned in a room."""

from contextlib import suppress
from http import HTTPStatus

from chat.api.reads import Read
from chat.api.request import Request, Response
from chat.api.router import Answer, Route, Who
from chat.api.schemas import READING, WAITING, array, ref
from chat.commands.posts import Pin
from chat.errors import problem_of_refusal, unavailable
from chat.services import validation
from chat.state.apply.posts import pins
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Refusal
from chat.state.room_details import PINS_MAX

_READ_TRIES = 4  # a second one is needed where a compaction comes between, a third one hardly ever


def pin(request: Request, room: str, id: str) -> Response:
    """PUT /rooms/{room}/messages/{id}/pin: 204, and the post is pinned."""
    return _pin(request, room, id, on=True)


def unpin(request: Request, room: str, id: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}/pin: 204, and the post is not pinned."""
    return _pin(request, room, id, on=False)


def _pin(request: Request, room: str, id: str, *, on: bool) -> Response:
    request.acting()
    command = Pin(request.actor, validation.name("RoomName", room), validation.integer("Id", id, low=1), on)
    return Response(HTTPStatus.NO_CONTENT, log_index=request.carry_out(command).index)


def list_pins(request: Request, room: str) -> Read:
    """GET /rooms/{room}/pins: the pinned posts, in the order of pinning."""
    room = validation.name("RoomName", room)

    def render() -> Response:
        seen = request.replica.last_applied
        body = b"[%b]\n" % b",".join(_read(request, room))
        return Response(HTTPStatus.OK, body, headers=[("Cache-Control", "no-store")], log_index=seen)

    return Read.asked(request.query(), render)


def _read(request: Request, room: str) -> list[bytes]:
    for _ in range(_READ_TRIES):
        found = request.state.ask(lambda tables: pins(tables, request.actor, room))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        with suppress(LookupError):  # a compaction took one: then the state knows a newer version
            indexes = sorted(each.version_index for each in found)
            entries = {entry.index: entry for entry in request.replica.commands(indexes)} if indexes else {}
            return [with_reactions(render_post(entries[each.version_index], each.id), each.reactions) for each in found]
    raise unavailable("this member is taking in a snapshot")


_PIN = "/rooms/{room}/messages/{id}/pin"
_MISSING = ("no_such_room", "not_found", "gone", "room_gone")

ROUTES = (
    Route(
        "PUT", _PIN, pin, Who.MEMBER, "Pin a post in its room",
        problems=(*_MISSING, "archived", "too_many_pins"), query=WAITING,
    ),
    Route(
        "DELETE", _PIN, unpin, Who.MEMBER, "Pin a post no more",
        problems=(*_MISSING, "archived"), query=WAITING,
    ),
    Route(
        "GET", "/rooms/{room}/pins", list_pins, Who.USER, "The pinned posts, in the order of pinning",
        answers={200: Answer("The posts", array(ref("Post"), PINS_MAX))},
        problems=("no_such_room", "room_gone"), query=READING,
    ),
)  # fmt: skip
