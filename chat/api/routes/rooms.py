"""`/rooms`: list, make, change and delete rooms and their members; the short address of a room."""

import json
from dataclasses import replace
from http import HTTPStatus

from chat.api.query import percent_encoded
from chat.api.request import Request
from chat.api.response import Read, Response, is_stale
from chat.api.router import Access, Answer, Body, Route
from chat.api.routes.paging import PAGE, name_ask, name_links
from chat.api.schemas import (
    BOOLEAN,
    NAME,
    NOTIFY,
    READING,
    RETENTION,
    TOPIC,
    WAITING,
    array,
    or_null,
    record,
    ref,
    word,
)
from chat.commands.rooms import CreateRoom
from chat.confusable_names import room_looks
from chat.errors import problem_of_refusal
from chat.services import validation
from chat.services.room_names import refused_looks, shown
from chat.services.rooms import (
    check_creation,
    check_deletion,
    check_direct,
    check_membership,
    check_preferences,
    check_room,
    check_settings,
)
from chat.state.apply.rooms import DIRECT_USERS, members
from chat.state.results import Refusal, RoomChanged, RoomMade
from chat.state.room_details import DIRECT, MEMBERS_MAX, PRIVATE, PUBLIC
from chat.state.room_views import room_json


def list_rooms(request: Request) -> Read:
    """GET /rooms[?before|after|around=name][&limit=1000][&details=true]: the rooms that the caller may see."""
    query = request.query()
    ask = name_ask(query)
    details = query.choice("details", "true", "false") == "true"
    rest = "&details=true" if details else ""
    rest += "&consistency=stale" if is_stale(query) else ""

    def render() -> Response:
        seen = request.replica.last_applied
        log_index, rooms, page = request.state.rooms(ask, request.acting())
        headers = [("Cache-Control", "no-store"), *name_links("/rooms", ask, page, rest)]
        body = _json([room_json(room) for room in rooms] if details else page.names)
        return Response(HTTPStatus.OK, body, headers=headers, log_index=max(seen, log_index))

    return Read.asked(query, render)


def redirect(request: Request, room: str) -> Response:
    """GET /{room}: redirect to the room.  Not permanent: a later version may have a route of that name."""
    location = f"/rooms/{percent_encoded(validation.name('RoomName', room))}"
    if request.raw_query:
        location += f"?{request.raw_query}"
    return Response(HTTPStatus.FOUND, headers=[("Location", location)], content_type="text/plain; charset=utf-8")


def make(request: Request, room: str) -> Response:
    """PUT /rooms/{room}: 201 and a new public room; 200 and the room if it exists."""
    return _made(request, check_room(request.actor, room, validation.json_object(request.body() or b"{}")))


def make_any(request: Request) -> Response:
    """POST /rooms: 201 and the room; the answer has the Name of a private one."""
    return _made(request, check_creation(request.actor, validation.json_object(request.body())))


def make_direct(request: Request) -> Response:
    """POST /directs: 201 and the direct room of the caller and some users; 200 if it exists."""
    return _made(request, check_direct(request.actor, validation.json_object(request.body())))


def _made(request: Request, creation: CreateRoom) -> Response:
    if creation.visibility != DIRECT and not request.state.has_room(creation.room):
        _check_looks(request, creation.room)
    made = request.execute(creation)
    assert isinstance(made, RoomMade)
    headers = [("Location", f"/rooms/{percent_encoded(made.room.name)}")]
    status = HTTPStatus.CREATED if made.created else HTTPStatus.OK
    return Response(status, _json(room_json(made.room)), headers=headers, log_index=made.index)


def _check_looks(request: Request, name: str, room: str = "") -> None:
    """Raise Problem (409) where a room is to have a name that looks like another one's; `room`: as it is called."""
    if refused_looks(request.state, request.actor, name, "Name", room) is not None:
        request.catch_up()
        refused = refused_looks(request.state, request.actor, name, "Name", room)
        if refused is not None:
            raise refused


def configure(request: Request, room: str) -> Response:
    """PATCH /rooms/{room}: the changed room; 404 if there is none."""
    change = check_settings(request.actor, room, validation.json_object(request.body()))
    wanted = change.name
    if wanted is None and change.visibility == PUBLIC:
        wanted = shown(next(iter(request.state.present_names([room])), room))  # it may be an earlier name
    if wanted is not None:
        _check_looks(request, wanted, change.room)
        change = replace(change, looks=room_looks(wanted))
    changed = request.execute(change)
    assert isinstance(changed, RoomChanged)
    return Response(HTTPStatus.OK, _json(room_json(changed.room)), log_index=changed.index)


def prefer(request: Request, room: str) -> Response:
    """PATCH /rooms/{room}/preferences: the room, with what the caller prefers about it now."""
    wish = check_preferences(request.actor, room, validation.json_object(request.body()))
    changed = request.execute(wish)
    assert isinstance(changed, RoomChanged)
    return Response(HTTPStatus.OK, _json(room_json(changed.room)), log_index=changed.index)


def delete(request: Request, room: str) -> Response:
    """DELETE /rooms/{room}: 204, and the room is gone with its posts; 404 if there is none."""
    deleted = request.execute(check_deletion(request.actor, room))
    return Response(HTTPStatus.NO_CONTENT, log_index=deleted.index)


def list_members(request: Request, room: str) -> Read:
    """GET /rooms/{room}/members[?before|after|around=name][&limit=1000]: names, by code point."""
    room = validation.name("RoomName", room)
    query = request.query()
    ask = name_ask(query)
    rest = "&consistency=stale" if is_stale(query) else ""

    def render() -> Response:
        seen = request.replica.last_applied
        names = request.state.ask(lambda tables: members(tables, request.actor, room))
        if isinstance(names, Refusal):
            raise problem_of_refusal(names)
        page = ask.page(names)
        path = f"/rooms/{percent_encoded(room)}/members"
        headers = [("Cache-Control", "no-store"), *name_links(path, ask, page, rest)]
        return Response(HTTPStatus.OK, _json(page.names), headers=headers, log_index=seen)

    return Read.asked(query, render)


def add_member(request: Request, room: str, user: str) -> Response:
    """PUT /rooms/{room}/members/{user}: 204, and the user is a member: the caller, or somebody they add."""
    return _change_member(request, room, user, on=True)


def remove_member(request: Request, room: str, user: str) -> Response:
    """DELETE /rooms/{room}/members/{user}: 204, and the user is no member: the caller, or somebody they remove."""
    return _change_member(request, room, user, on=False)


def _change_member(request: Request, room: str, user: str, *, on: bool) -> Response:
    change = check_membership(request.actor, room, user, on=on)
    return Response(HTTPStatus.NO_CONTENT, log_index=request.execute(change).index)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


_ROOM = {200: Answer("The room after the change", ref("Room"))}
_MADE = {
    201: Answer("The new room; Location has its address", ref("Room")),
    200: Answer("The existing room", ref("Room")),
}
_LISTED = {200: Answer("Names; with details=true rooms", {"anyOf": [array(NAME), array(ref("Room"))]})}
_VISIBILITY = word(PUBLIC, PRIVATE)
_USERS = array(NAME, MEMBERS_MAX)
_CHANGES = {
    "Topic": or_null(TOPIC),
    "Name": NAME,
    "Visibility": _VISIBILITY,
    "Members": _USERS,
    "Archived": BOOLEAN,
    "Owner": or_null(NAME),
    "Retention": or_null(RETENTION),
}
_NO_GUESTS = ("forbidden", "no_such_user", "too_many_members", "too_many_rooms", "looks_like")
_MEMBERSHIP = ("no_such_room", "room_gone", "no_such_user", "forbidden", "too_many_members")

ROUTES = (
    Route(
        "GET", "/rooms", list_rooms, Access.USER, "List the rooms that you can see, by name", waits=False,
        answers=_LISTED, query={**PAGE, "details": word("true", "false"), **READING},
    ),
    Route(
        "POST", "/rooms", make_any, Access.MEMBER, "Make a room; the answer has the Name of a private one",
        body=Body(record({"Name": NAME}, {"Topic": or_null(TOPIC), "Visibility": _VISIBILITY, "Members": _USERS})),
        answers=_MADE, problems=(*_NO_GUESTS, "name_taken", "open_mode"), query=WAITING,
    ),
    Route(
        "PUT", "/rooms/{room}", make, Access.MEMBER, "Make a public room, or return the existing one",
        body=Body(record({}, {"Topic": or_null(TOPIC)}), required=False),
        answers=_MADE, problems=_NO_GUESTS, query=WAITING,
    ),
    Route(
        "PATCH", "/rooms/{room}", configure, Access.OWNER, "Change the named settings of a room; null removes one",
        body=Body(record({}, _CHANGES, members_min=1)),
        answers=_ROOM, problems=(*_MEMBERSHIP, "name_taken", "looks_like", "archived", "open_mode"), query=WAITING,
    ),
    Route(
        "PATCH", "/rooms/{room}/preferences", prefer, Access.USER,
        "Make a room your favourite, or choose what you are notified about; null for the default",
        body=Body(record({}, {"Favourite": BOOLEAN, "Notify": or_null(NOTIFY)}, members_min=1)),
        answers=_ROOM, problems=("no_such_room", "room_gone", "too_many_members"), query=WAITING, login=True,
    ),
    Route(
        "DELETE", "/rooms/{room}", delete, Access.OWNER, "Delete a room and all its messages",
        problems=("no_such_room", "room_gone", "forbidden"), query=WAITING,
    ),
    Route(
        "GET", "/rooms/{room}/members", list_members, Access.USER, "List a room's members, by name", waits=False,
        answers={200: Answer("Names", array(NAME))}, problems=("no_such_room", "room_gone"),
        query={**PAGE, **READING}, login=True,
    ),
    Route(
        "PUT", "/rooms/{room}/members/{user}", add_member, Access.USER, "Join a room, or add somebody",
        problems=_MEMBERSHIP, query=WAITING, login=True,
    ),
    Route(
        "DELETE", "/rooms/{room}/members/{user}", remove_member, Access.USER, "Leave a room, or remove somebody",
        problems=_MEMBERSHIP, query=WAITING, login=True,
    ),
    Route(
        "POST", "/directs", make_direct, Access.MEMBER, "Open the direct room of some users and yourself",
        body=Body(record({"Users": array(NAME, DIRECT_USERS[-1])})),
        answers=_MADE, problems=_NO_GUESTS, query=WAITING, login=True,
    ),
    Route(
        "GET", "/{room}", redirect, Access.ANYBODY, "Redirect to a room", waits=False,
        answers={302: Answer("Location: /rooms/{room}")},
    ),
)  # fmt: skip
