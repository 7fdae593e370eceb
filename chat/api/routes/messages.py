"""`/rooms/{room}` and `/rooms/{room}/messages/{id}`: post, read, edit, delete, react and pin."""

import json
from bisect import bisect_left
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial
from http import HTTPStatus
from itertools import chain

from chat.api.query import Query, percent_encoded
from chat.api.request import Request
from chat.api.response import Deferred, Read, Response, is_stale, response_of
from chat.api.router import Access, Answer, Body, Route
from chat.api.schemas import (
    CLIENT_ID,
    MESSAGE,
    MOMENT,
    NAME,
    POST_ID,
    READING,
    USER,
    WAITING,
    array,
    integer,
    record,
    ref,
)
from chat.commands import Post
from chat.commands.posts import Pin
from chat.errors import Problem, invalid, not_found, problem_of_refusal
from chat.services import validation
from chat.services.export import export, whole_history
from chat.services.post_cache import read_retrying
from chat.services.posts import (
    PostChange,
    check_deletion,
    check_edit,
    check_post,
    check_reaction,
    command_for,
    with_key,
    with_mentions,
)
from chat.services.proposals import post_to_propose, propose
from chat.state.apply.posts import Pinned, pins, versions
from chat.state.events import PostChanged
from chat.state.post_json import render_post, with_reactions
from chat.state.results import Done, Posted, Refusal, Success
from chat.state.room import PAGE_POSTS_DEFAULT, PAGE_POSTS_MAX, Page, PageRequest
from chat.state.room_details import PINS_MAX

NDJSON = "application/x-ndjson"


def post(request: Request, room: str) -> Deferred | Read:
    """POST /rooms/{room}: 201 once the post is committed and applied here; 200 if the same ClientId posted it before.

    A post that the state here refuses is not proposed; the refusal is confirmed by a state that holds all that was
    acknowledged.  So is the refusal of a new room whose name looks like another's.
    The header `Idempotency-Key` means the same as the member `ClientId`.
    """
    request.services.authenticator.admit_post(request.actor)
    request.wait_for_min_index()
    fields = validation.json_object(request.body())
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    checked = check_post(room, fields if key is None else with_key(fields, key), request.actor)
    checked = with_mentions(checked, request.state)
    settled = post_to_propose(checked, request.actor, request.state)
    if isinstance(settled, Problem):
        return Read(partial(_post_settled, request, checked))
    return _propose(request, settled)


def _post_settled(request: Request, checked: Post) -> Deferred:
    settled = post_to_propose(checked, request.actor, request.state)
    if isinstance(settled, Problem):
        raise settled
    return _propose(request, settled)


def _propose(request: Request, checked: Post) -> Deferred:
    answer = request.defer()
    propose(request.replica, checked, partial(_send, request, answer), flushes=True)
    return answer


def read_page(request: Request, room: str) -> Read:
    """GET /rooms/{room}[?before|after|around=Id | at=time][&limit=100]: posts, oldest first; by default the newest."""
    room = validation.name("RoomName", room)
    query = request.query()
    ask, at, stale = _ask(query), query.moment("at"), is_stale(query)

    def render() -> Response:
        seen = request.replica.last_applied
        asked = ask if at is None else replace(ask, around=_first_at(request, room, at))
        page, posts = _read(request, room, asked)
        headers = [("Cache-Control", "no-store")]
        links = _links(room, ask, page, stale)
        if links:
            headers.append(("Link", ", ".join(links)))
        body = b"[%b]\n" % b",".join(posts)
        return Response(HTTPStatus.OK, body, headers=headers, log_index=max(seen, page.log_index))

    return Read.asked(query, render)


def read_post(request: Request, room: str, id: str) -> Read:
    """GET /rooms/{room}/messages/{id}: one post; 410 if it is gone."""
    room = validation.name("RoomName", room)
    number = validation.integer("Id", id, low=1)

    def render() -> Response:
        seen = request.replica.last_applied
        page, posts = _read(request, room, PageRequest(limit=1, after=number - 1))
        if number > page.newest_id:
            raise not_found("Id: there is no message with this Id in this room")
        if number < page.oldest_id:
            detail = "Id: this message is gone: its room was deleted, or keeps newer messages only"
            raise Problem(HTTPStatus.GONE, "gone", detail)
        headers = [("Cache-Control", "no-store")]
        return Response(HTTPStatus.OK, posts[0] + b"\n", headers=headers, log_index=max(seen, page.log_index))

    return Read.asked(request.query(), render)


def read_versions(request: Request, room: str, id: str) -> Read:
    """GET /rooms/{room}/messages/{id}/history: all texts of a post, oldest first; of a deleted post only the tombstone.

    A long history is streamed.
    """
    room = validation.name("RoomName", room)
    number = validation.integer("Id", id, low=1)

    def render() -> Response:
        seen = request.replica.last_applied
        pieces = whole_history(partial(_version_indexes, request, room, number), request.replica, number)
        first = next(pieces)  # most histories are no longer than that
        headers = [("Cache-Control", "no-store")]
        if first.endswith(b"\n"):
            return Response(HTTPStatus.OK, first, headers=headers, log_index=seen)
        return Response(HTTPStatus.OK, headers=headers, log_index=seen, pieces=chain((first,), pieces))

    return Read.asked(request.query(), render, by_caller=True)


def _read(request: Request, room: str, ask: PageRequest) -> tuple[Page, list[bytes]]:
    """Read a page and its posts.  If a compaction takes some from the log meanwhile, ask the state again."""
    acting = request.acting()
    return read_retrying(
        lambda: request.state.page(room, ask, acting),
        lambda page: request.services.rendered.read(page, request.replica),
    )


def _first_at(request: Request, room: str, moment: datetime) -> int:
    """Return the Id of the first post of this time or later; one beyond the newest if there is none.

    A search by halves, which reads one post in each of some 30 steps at most.  It takes the times to ascend: among
    imported messages, whose times may not, it finds one of several places.
    """

    def posted_at(id: int) -> datetime:
        _, posts = _read(request, room, PageRequest(limit=1, after=id - 1))
        return datetime.fromisoformat(json.loads(posts[0])["PostedAt"])

    page, _ = _read(request, room, PageRequest(limit=1))
    ids = range(page.oldest_id, page.newest_id + 1)
    try:
        return page.oldest_id + bisect_left(ids, moment, key=posted_at)
    except IndexError:  # the room was deleted meanwhile
        return page.newest_id + 1


def _version_indexes(request: Request, room: str, id: int) -> list[int]:
    """The log indexes of all texts of a post, oldest first.  Raises Problem."""
    indexes = request.state.ask(lambda tables: versions(tables, request.actor, room, id))
    if isinstance(indexes, Refusal):
        raise problem_of_refusal(indexes)
    return indexes


def export_room(request: Request, room: str) -> Read:
    """GET /rooms/{room}/export: the whole room, oldest first, a post a line; streamed."""
    room = validation.name("RoomName", room)

    def render() -> Response:
        seen = request.replica.last_applied
        log_index, pieces = export(request.state, request.replica, room, request.acting)
        disposition = f"attachment; filename*=UTF-8''{percent_encoded(room)}.ndjson"
        headers = [("Cache-Control", "no-store"), ("Content-Disposition", disposition)]
        log_index = max(seen, log_index)
        first = next(pieces, b"")  # what is damaged in it is a Problem; later on the connection can only be cut
        whole = chain((first,), pieces)
        return Response(HTTPStatus.OK, b"", NDJSON, headers=headers, log_index=log_index, pieces=whole)

    return Read.asked(request.query(), render, by_caller=True)


def edit(request: Request, room: str, id: str) -> Response:
    """PATCH /rooms/{room}/messages/{id}: the edited post; 403 for everybody but its author."""
    wanted = check_edit(
        request.actor, room, validation.integer("Id", id, low=1), validation.json_object(request.body())
    )
    changed = _revise(request, wanted)
    assert isinstance(changed, PostChanged)
    return Response(HTTPStatus.OK, changed.post + b"\n", log_index=changed.index)


def delete(request: Request, room: str, id: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}?user=: 204, and the post is a tombstone; 403 without the right to."""
    changed = _revise(
        request, check_deletion(request.actor, room, validation.integer("Id", id, low=1), request.query().text("user"))
    )
    return Response(HTTPStatus.NO_CONTENT, log_index=changed.index)


def react(request: Request, room: str, id: str, emoji: str) -> Response:
    """PUT /rooms/{room}/messages/{id}/reactions/{emoji}?user=: 204, and the user has this reaction to the post."""
    return _react(request, room, id, emoji, on=True)


def remove_reaction(request: Request, room: str, id: str, emoji: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}/reactions/{emoji}?user=: 204, and the reaction is removed."""
    return _react(request, room, id, emoji, on=False)


def _react(request: Request, room: str, id: str, emoji: str, *, on: bool) -> Response:
    reaction = check_reaction(
        request.actor, room, validation.integer("Id", id, low=1), emoji, request.query().text("user"), on=on
    )
    return Response(HTTPStatus.NO_CONTENT, log_index=request.execute(reaction).index)


def _revise(request: Request, wanted: PostChange) -> Success:
    """Execute a change of a post; return once it is committed and applied here."""
    request.wait_for_min_index()
    # Changes that were acknowledged before this request have to be seen, also those that another node acknowledged.
    request.catch_up()
    with request.off_cpu():
        change = command_for(request.replica, request.state, wanted)
    return change if isinstance(change, PostChanged | Done) else request.execute(change)


def pin(request: Request, room: str, id: str) -> Response:
    """PUT /rooms/{room}/messages/{id}/pin: 204, and the post is pinned."""
    return _pin(request, room, id, on=True)


def unpin(request: Request, room: str, id: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}/pin: 204, and the post is not pinned."""
    return _pin(request, room, id, on=False)


def _pin(request: Request, room: str, id: str, *, on: bool) -> Response:
    request.acting()
    command = Pin(request.actor, validation.name("RoomName", room), validation.integer("Id", id, low=1), on)
    return Response(HTTPStatus.NO_CONTENT, log_index=request.execute(command).index)


def list_pins(request: Request, room: str) -> Read:
    """GET /rooms/{room}/pins: the pinned posts, in the order of pinning."""
    room = validation.name("RoomName", room)

    def render() -> Response:
        seen = request.replica.last_applied
        body = b"[%b]\n" % b",".join(_read_pins(request, room))
        return Response(HTTPStatus.OK, body, headers=[("Cache-Control", "no-store")], log_index=seen)

    return Read.asked(request.query(), render)


def _read_pins(request: Request, room: str) -> list[bytes]:
    def locate() -> list[Pinned]:
        found = request.state.ask(lambda tables: pins(tables, request.actor, room))
        if isinstance(found, Refusal):
            raise problem_of_refusal(found)
        return found

    def read(found: list[Pinned]) -> list[bytes]:
        indexes = sorted(each.version_index for each in found)
        entries = {entry.index: entry for entry in request.replica.commands(indexes)} if indexes else {}
        return [with_reactions(render_post(entries[each.version_index], each.id), each.reactions) for each in found]

    return read_retrying(locate, read)


def _send(request: Request, answer: Deferred, outcome: Posted | Problem) -> None:
    """Send the outcome of a post; in a thread of the engine."""
    response = response_of(outcome) if isinstance(outcome, Problem) else _answer(outcome)
    request.send(answer, response)


def _answer(outcome: Posted) -> Response:
    status = HTTPStatus.CREATED if outcome.created else HTTPStatus.OK
    headers = [("Location", f"{_path(outcome.room)}/messages/{outcome.id}")]
    return Response(status, outcome.json + b"\n", headers=headers, log_index=outcome.index)


def _ask(query: Query) -> PageRequest:
    limit = query.integer("limit", 1, PAGE_POSTS_MAX) or PAGE_POSTS_DEFAULT
    before, after, around = query.integer("before"), query.integer("after"), query.integer("around")
    if [before, after, around, query.text("at")].count(None) < 3:
        raise invalid("before, after, around, at", "only one of them may be given")
    return PageRequest(limit, before, after, around)


def _links(room: str, ask: PageRequest, page: Page, stale: bool) -> list[str]:
    """The links `prev` to older posts and `next` to newer ones, if there are such posts."""
    rest = f"&limit={ask.limit}{'&consistency=stale' if stale else ''}"
    links = []
    if page.first_id > page.oldest_id:
        links.append(f'<{_path(room)}?before={page.first_id}{rest}>; rel="prev"')
    if page.last_id < page.newest_id:
        links.append(f'<{_path(room)}?after={page.last_id}{rest}>; rel="next"')
    return links


@lru_cache(maxsize=4096)  # encoding a name costs as much as the rest of an answer's head
def _path(room: str) -> str:
    return f"/rooms/{percent_encoded(room)}"


_PAGE = {
    "before": integer(),
    "after": integer(),
    "around": integer(),
    "at": MOMENT,
    "limit": integer(1, PAGE_POSTS_MAX),
}
_POST = ref("Post")
_MESSAGE_PATH = "/rooms/{room}/messages/{id}"
_REACTION = f"{_MESSAGE_PATH}/reactions/{{emoji}}"
_MISSING = ("not_found", "gone", "room_gone")
_PIN = f"{_MESSAGE_PATH}/pin"

ROUTES = (
    Route(
        "GET", "/rooms/{room}", read_page, Access.USER,
        "List a page of a room's messages, oldest first; by default the newest",
        waits=False, answers={200: Answer("Posts; none where there is no such room", array(_POST, PAGE_POSTS_MAX))},
        query={**_PAGE, **READING},
    ),
    Route(
        "POST", "/rooms/{room}", post, Access.USER,
        "Send a message to a room; the room is made if it does not exist", waits=False,
        body=Body(record({"Message": MESSAGE, "User": NAME}, {"ClientId": CLIENT_ID, "ReplyTo": POST_ID})),
        answers={201: Answer("The post, committed", _POST), 200: Answer("The post that the same ClientId made", _POST)},
        problems=(
            "gone", "client_id_reused", "no_such_post", "too_many_rooms", "no_such_room", "room_gone", "too_many_posts",
            "looks_like",
        ),
        query=WAITING, headers={"Idempotency-Key": CLIENT_ID},
    ),
    Route(
        "GET", "/rooms/{room}/messages/{id}", read_post, Access.USER, "Show one message", waits=False,
        answers={200: Answer("The post", _POST)}, problems=("not_found", "gone"), query=READING,
    ),
    Route(
        "GET", "/rooms/{room}/messages/{id}/history", read_versions, Access.USER,
        "List all texts of a message, oldest first",
        answers={200: Answer("The post as it was and is; once deleted, that alone", array(_POST))},
        problems=("not_found", "gone"), query=READING,
    ),
    Route(
        "GET", "/rooms/{room}/export", export_room, Access.USER, "Export a whole room, oldest first",
        answers={200: Answer("A post a line", content_type=NDJSON)}, query=READING,
    ),
    Route(
        "PATCH", _MESSAGE_PATH, edit, Access.AUTHOR, "Edit a message; its history keeps the earlier texts",
        body=Body(record({"Message": MESSAGE, "User": NAME})),
        answers={200: Answer("The post after the edit", _POST)},
        problems=(*_MISSING, "not_the_author", "too_many_edits", "archived"), query=WAITING,
    ),
    Route(
        "DELETE", _MESSAGE_PATH, delete, Access.AUTHOR_OR_OWNER, "Delete a message; its Id stays",
        problems=(*_MISSING, "not_the_author", "archived"), query={**USER, **WAITING},
    ),
    Route(
        "PUT", _REACTION, react, Access.USER, "React to a message",
        problems=(*_MISSING, "too_many_reactions", "archived"), query={**USER, **WAITING},
    ),
    Route(
        "DELETE", _REACTION, remove_reaction, Access.USER, "Remove a reaction",
        problems=(*_MISSING, "archived"), query={**USER, **WAITING},
    ),
    Route(
        "PUT", _PIN, pin, Access.MEMBER, "Pin a message in its room",
        problems=("no_such_room", *_MISSING, "archived", "too_many_pins"), query=WAITING,
    ),
    Route(
        "DELETE", _PIN, unpin, Access.MEMBER, "Unpin a message",
        problems=("no_such_room", *_MISSING, "archived"), query=WAITING,
    ),
    Route(
        "GET", "/rooms/{room}/pins", list_pins, Access.USER, "List the pinned messages, in the order of pinning",
        answers={200: Answer("The posts", array(_POST, PINS_MAX))},
        problems=("no_such_room", "room_gone"), query=READING,
    ),
)  # fmt: skip
