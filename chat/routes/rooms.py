"""`/rooms`: the list of rooms, the short address of a room, and changing or deleting one."""

import json
from http import HTTPStatus

from chat import validation
from chat.changing import as_known, check_deletion, check_settings
from chat.history import timestamp
from chat.reads import Read, is_stale
from chat.request import Request, Response, percent_encoded
from chat.routes.name_pages import PAGE, name_ask, name_links
from chat.routing import Answer, Body, Route, Who
from chat.schemas import NAME, READING, RETENTION, WAITING, array, or_null, record, ref, word
from chat.state.results import RoomChanged, RoomSummary


def list_rooms(request: Request) -> Read:
    """GET /rooms[?before|after|around=name][&limit=1000][&details=true]: the rooms that one sees, by code point."""
    query = request.query()
    ask = name_ask(query)
    details = query.choice("details", "true", "false") == "true"
    rest = "&details=true" if details else ""
    rest += "&consistency=stale" if is_stale(query) else ""

    def render() -> Response:
        seen = request.replica.last_applied
        log_index, rooms, page = request.state.rooms(ask, request.acting())
        headers = [("Cache-Control", "no-store"), *name_links("/rooms", ask, page, rest)]
        body = _json([_detailed(room) for room in rooms] if details else page.names)
        return Response(HTTPStatus.OK, body, headers=headers, log_index=max(seen, log_index))

    return Read.asked(query, render)


def redirect(request: Request, room: str) -> Response:
    """GET /{room}: where the room is.  Not for ever: a later version may have a route of that name."""
    location = f"/rooms/{percent_encoded(validation.name('RoomName', room))}"
    if request.raw_query:
        location += f"?{request.raw_query}"
    return Response(HTTPStatus.FOUND, headers=[("Location", location)], content_type="text/plain; charset=utf-8")


def configure(request: Request, room: str) -> Response:
    """PATCH /rooms/{room}: the room as it is from then on; 404 where there is none, for it is made by a post."""
    change = check_settings(room, validation.json_object(request.body()), request.actor)
    changed = request.carry_out(as_known(change, request.replica.level))
    assert isinstance(changed, RoomChanged)
    return Response(HTTPStatus.OK, _json(_detailed(changed.room)), log_index=changed.index)


def delete(request: Request, room: str) -> Response:
    """DELETE /rooms/{room}: 204, and the room is gone with its posts; 404 where there is none."""
    return Response(HTTPStatus.NO_CONTENT, log_index=request.carry_out(check_deletion(room)).index)


def _detailed(room: RoomSummary) -> dict[str, object]:
    bounds = {"MaxMessages": room.max_messages, "MaxAgeSeconds": room.max_age_s}
    told: dict[str, object] = {
        "Name": room.name,
        "Messages": room.posts,
        "LastPostedAt": timestamp(room.last_posted_at),
        "Retention": {name: bound for name, bound in bounds.items() if bound is not None} or None,
    }
    if room.counts is not None:
        told |= {"ReadId": room.counts.read_id, "Unread": room.counts.unread, "Mentions": room.counts.mentions}
    return told


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


_ROOM = {200: Answer("The room as it is from then on", ref("Room"))}
_LISTED = {200: Answer("Names; with details=true rooms", {"anyOf": [array(NAME), array(ref("Room"))]})}

ROUTES = (
    Route(
        "GET", "/rooms", list_rooms, Who.USER, "The rooms, by name", waits=False,
        answers=_LISTED, query={**PAGE, "details": word("true", "false"), **READING},
    ),
    Route(
        "PATCH", "/rooms/{room}", configure, Who.OWNER, "Change what is named of a room; null takes a bound away",
        body=Body(record({"Retention": or_null(RETENTION)})),
        answers=_ROOM, problems=("no_such_room",), query=WAITING,
    ),
    Route(
        "DELETE", "/rooms/{room}", delete, Who.OWNER, "Delete a room and all that was said in it",
        problems=("no_such_room",), query=WAITING,
    ),
    Route(
        "GET", "/{room}", redirect, Who.ANYBODY, "Where a room is",
        answers={302: Answer("Location: /rooms/{room}")},
    ),
)  # fmt: skip
