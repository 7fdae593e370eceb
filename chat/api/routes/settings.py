"""`/settings`: show and change the settings of the whole cluster."""

import json
from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Read, Response
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import READING, RETENTION, WAITING, integer, or_null, record, word
from chat.services import validation
from chat.services.settings import ROOMS_MAX, check, check_auth
from chat.services.validation import AGE_S_MAX
from chat.state.results import SettingsChanged
from chat.state.settings import INVITE, LOGIN, OPEN, Settings


def show(request: Request) -> Read:
    """GET /settings: all settings."""

    def render() -> Response:
        request.acting()  # open to everybody who may call anything
        seen = request.replica.last_applied
        settings = request.state.ask(lambda tables: tables.settings)
        return Response(HTTPStatus.OK, _json(settings), headers=[("Cache-Control", "no-store")], log_index=seen)

    return Read.asked(request.query(), render)


def configure(request: Request) -> Response:
    """PATCH /settings: all settings after the change."""
    fields = validation.json_object(request.body())
    actor = request.administering()
    signup = request.state.ask(lambda tables: tables.settings.signup)
    change = check_auth(fields, actor, signup) or check(fields, actor)
    changed = request.execute(change)
    assert isinstance(changed, SettingsChanged)
    return Response(HTTPStatus.OK, _json(changed.settings), log_index=changed.index)


def _json(settings: Settings) -> bytes:
    retention = {"MaxMessages": settings.max_messages, "MaxAgeSeconds": settings.max_age_s}
    told = {
        "Auth": settings.auth,
        "Signup": settings.signup,
        "MaxRooms": settings.max_rooms or None,
        "Retention": {name: bound for name, bound in retention.items() if bound} or None,
        "UnusedRoomSeconds": settings.unused_room_s or None,
        "EmptyRoomSeconds": settings.empty_room_s or None,
    }
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


_WORDS = {"Auth": word(OPEN, LOGIN), "Signup": word(OPEN, INVITE)}
_BOUNDS = {
    "MaxRooms": or_null(integer(1, ROOMS_MAX)),
    "Retention": or_null(RETENTION),
    "UnusedRoomSeconds": or_null(integer(1, AGE_S_MAX)),
    "EmptyRoomSeconds": or_null(integer(1, AGE_S_MAX)),
}
_SETTINGS = {200: Answer("What is set; null: no bound", record({**_WORDS, **_BOUNDS}))}

ROUTES = (
    Route(
        "GET", "/settings", show, Access.USER, "Show the settings of the whole cluster",
        answers=_SETTINGS, query=READING,
    ),
    Route(
        "PATCH", "/settings", configure, Access.ADMIN, "Change the named settings; only the operator changes Auth",
        body=Body(record({}, {**_WORDS, **_BOUNDS}, members_min=1)), answers=_SETTINGS, query=WAITING,
        problems=("forbidden", "open_mode"),
    ),
)  # fmt: skip
