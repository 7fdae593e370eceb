"""What a client of the websocket is answered, as JSON."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from json.encoder import encode_basestring

from chat.commands import Post
from chat.errors import Problem
from chat.server import failure_log
from chat.state.post_json import timestamp
from chat.state.results import Posted
from chat.state.room import Page

_TEMPORARY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
              HTTPStatus.INSUFFICIENT_STORAGE}  # fmt: skip


def is_temporary(problem: Problem) -> bool:
    """Whether the same may succeed later."""
    return problem.status in _TEMPORARY


def posted(post: Post, posted: Posted) -> bytes:
    """The post's own ClientId: what was sent, or what the server made where nothing was."""
    client_id, room = encode_basestring(post.client_id).encode(), encode_basestring(posted.room).encode()
    return b'{"Ack":{"ClientId":%b,"RoomName":%b,"Post":%b}}' % (client_id, room, posted.json)


def changed(client_id: str | None, room: str, id: int, post: bytes | None) -> bytes:
    """What was asked for is so; `post` as it is now, where it was that which was changed."""
    told = json.dumps({"ClientId": client_id, "RoomName": room, "Id": id}).encode()
    return b'{"Ack":%b}' % told if post is None else b'{"Ack":%b,"Post":%b}}' % (told[:-1], post)


def history(client_id: str | None, room: str, page: Page, posts: list[bytes]) -> bytes:
    """A page of a room, oldest first; First is Last + 1 where it is empty, Oldest is Newest + 1 where the room is."""
    told = {
        "ClientId": client_id,
        "RoomName": room,
        "First": page.first_id,
        "Last": page.last_id,
        "Oldest": page.oldest_id,
        "Newest": page.newest_id,
    }
    return b'{"History":%b,"Posts":[%b]}}' % (json.dumps(told).encode()[:-1], b",".join(posts))


def ticket(client_id: str | None, secret: str, expires_at: int) -> bytes:
    """What one websocket is let in by; microseconds since 1970."""
    told = {"ClientId": client_id, "Ticket": secret, "ExpiresAt": timestamp(expires_at)}
    return json.dumps({"Ticket": told}).encode()


def error(problem: Problem, sent: Mapping[str, object] | None) -> bytes:
    """What went wrong with what was sent; its ClientId, in whatever case, tells the client with what.

    A failure of this node's is logged.
    """
    failure_log.answered(problem.status, problem.code, problem.detail)
    client_id = {name.lower(): value for name, value in (sent or {}).items()}.get("clientid")
    told = {
        "ClientId": client_id if isinstance(client_id, str) else problem.members.get("ClientId"),
        "code": problem.code,
        "detail": problem.detail,
        "Temporary": is_temporary(problem),
    }
    return json.dumps({"Error": told}).encode()
