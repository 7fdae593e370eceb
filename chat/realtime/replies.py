"""The answers to a websocket's messages, as JSON."""

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
    """Return True if the same message may succeed later."""
    return problem.status in _TEMPORARY


def posted(post: Post, posted: Posted) -> bytes:
    """The Ack of a post, with the ClientId that was sent or, without one, that the server made."""
    client_id, room = encode_basestring(post.client_id).encode(), encode_basestring(posted.room).encode()
    return b'{"Ack":{"ClientId":%b,"RoomName":%b,"Post":%b}}' % (client_id, room, posted.json)


def changed(client_id: str | None, room: str, id: int, post: bytes | None) -> bytes:
    """The Ack of a change; `post`: as it is now, if a post was edited."""
    told = json.dumps({"ClientId": client_id, "RoomName": room, "Id": id}).encode()
    return b'{"Ack":%b}' % told if post is None else b'{"Ack":%b,"Post":%b}}' % (told[:-1], post)


def history(client_id: str | None, room: str, page: Page, posts: list[bytes]) -> bytes:
    """A page of a room, oldest first.  First is Last + 1 if the page is empty, Oldest is Newest + 1 if the room is."""
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
    """A ticket for one websocket; `expires_at`: microseconds since 1970."""
    told = {"ClientId": client_id, "Ticket": secret, "ExpiresAt": timestamp(expires_at)}
    return json.dumps({"Ticket": told}).encode()


def error(problem: Problem, sent: Mapping[str, object] | None) -> bytes:
    """The Error for the message `sent`, whose ClientId it repeats.

    A failure of this node is logged.
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
