"""What a chat holds, as its API shows it: the JSON that a fixture is compared with."""

from collections.abc import Callable
from typing import Any

GetJson = Callable[[str], Any]


def held(get: GetJson) -> dict[str, Any]:
    """Everything that an admin sees; `get(path)` is the JSON of an answer."""
    rooms = get("/rooms?details=true&limit=1000")
    return {
        # NewestId is newer than the first fixture, and "Posts" shows it.
        "Rooms": [{name: value for name, value in room.items() if name != "NewestId"} for room in rooms],
        "Posts": {room["Name"]: _posts(get, room["Name"]) for room in rooms},
        "History": {
            f"{room['Name']}/{post['Id']}": get(f"{_path(room['Name'])}/messages/{post['Id']}/history")
            for room in rooms
            for post in _posts(get, room["Name"])
            if post.get("EditedAt")
        },
        "Members": {room["Name"]: get(f"{_path(room['Name'])}/members") for room in rooms},
        "Pins": {room["Name"]: get(f"{_path(room['Name'])}/pins") for room in rooms},
        "Users": get("/users?limit=1000"),
        # When a token was used last changes with each request.
        "Tokens": [{name: value for name, value in token.items() if name != "UsedAt"} for token in get("/tokens")],
        "Invites": get("/invites"),
        "Settings": get("/settings"),
    }


def _path(room: str) -> str:
    return "/rooms/" + room.replace(" ", "%20")


def _posts(get: GetJson, room: str) -> list[dict[str, Any]]:
    posts: list[dict[str, Any]] = get(f"{_path(room)}?limit=1000")
    return posts
