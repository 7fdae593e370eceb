"""`/rooms/{room}/messages/{id}`: changing what was said, and reacting to it."""

from http import HTTPStatus

from chat.api.request import Request, Response
from chat.api.router import Answer, Body, Route, Who
from chat.api.schemas import MESSAGE, NAME, USER, WAITING, record, ref
from chat.services import validation
from chat.services.revising import Wish, check_deletion, check_edit, check_reaction, command_for
from chat.state.events import PostChanged
from chat.state.results import Done, Success


def edit(request: Request, room: str, id: str) -> Response:
    """PATCH /rooms/{room}/messages/{id}: the post as it is from then on; 403 for who did not post it."""
    wish = check_edit(request.actor, room, _id(id), validation.json_object(request.body()))
    changed = _revise(request, wish)
    assert isinstance(changed, PostChanged)
    return Response(HTTPStatus.OK, changed.post + b"\n", log_index=changed.index)


def delete(request: Request, room: str, id: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}?user=: 204, and the post is a tombstone; 403 for who did not post it."""
    changed = _revise(request, check_deletion(request.actor, room, _id(id), request.query().text("user")))
    return Response(HTTPStatus.NO_CONTENT, log_index=changed.index)


def react(request: Request, room: str, id: str, emoji: str) -> Response:
    """PUT /rooms/{room}/messages/{id}/reactions/{emoji}?user=: 204, and the user reacts so to the post."""
    return _react(request, room, id, emoji, on=True)


def take_back(request: Request, room: str, id: str, emoji: str) -> Response:
    """DELETE /rooms/{room}/messages/{id}/reactions/{emoji}?user=: 204, and the user does not react so to the post."""
    return _react(request, room, id, emoji, on=False)


def _react(request: Request, room: str, id: str, emoji: str, *, on: bool) -> Response:
    reaction = check_reaction(request.actor, room, _id(id), emoji, request.query().text("user"), on=on)
    return Response(HTTPStatus.NO_CONTENT, log_index=request.carry_out(reaction).index)


def _revise(request: Request, wish: Wish) -> Success:
    """Returns once it is committed and applied here, or was so before."""
    request.settle_posts()
    # What was acknowledged before this request began is to be seen, also where another member told of it.
    request.catch_up()
    with request.off_cpu():
        change = command_for(request.replica, request.state, wish)
    return change if isinstance(change, PostChanged | Done) else request.carry_out(change)


def _id(text: str) -> int:
    return validation.integer("Id", text, low=1)


_POST = "/rooms/{room}/messages/{id}"
_REACTION = f"{_POST}/reactions/{{emoji}}"
_MISSING = ("not_found", "gone", "room_gone")

ROUTES = (
    Route(
        "PATCH", _POST, edit, Who.AUTHOR, "Say a post otherwise; what it said stays in its history",
        body=Body(record({"Message": MESSAGE, "User": NAME})),
        answers={200: Answer("The post as it is from then on", ref("Post"))},
        problems=(*_MISSING, "not_the_author", "too_many_edits", "archived"), query=WAITING,
    ),
    Route(
        "DELETE", _POST, delete, Who.AUTHOR_OR_OWNER, "Take back what a post said; its Id stays",
        problems=(*_MISSING, "not_the_author", "archived"), query={**USER, **WAITING},
    ),
    Route(
        "PUT", _REACTION, react, Who.USER, "React to a post",
        problems=(*_MISSING, "too_many_reactions", "archived"), query={**USER, **WAITING},
    ),
    Route(
        "DELETE", _REACTION, take_back, Who.USER, "Take a reaction back",
        problems=(*_MISSING, "archived"), query={**USER, **WAITING},
    ),
)  # fmt: skip
