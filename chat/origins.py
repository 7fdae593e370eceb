"""The origins that belong to this cluster: where clients reach its members, as browsers spell it (RFC 6454 §6.2).

A page that one member served goes on at another when the first is gone; browsers have to be told that it may.
"""

import re
from collections.abc import Iterator

_ORIGIN = re.compile(r"(https?)://([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


def member_origins(status: dict[str, object]) -> Iterator[str]:
    """Of the members in `GET /raft`'s body; an advertised text that is no origin is left out."""
    members = status.get("Members")
    for member in members if isinstance(members, list) else ():
        origin = _ORIGIN.fullmatch(str(member.get("Advertise", "")).removesuffix("/"))
        if origin is not None:
            yield origin[0]


def sharing_headers(origin: str, status: dict[str, object]) -> list[tuple[str, str]]:
    """What lets a page of `origin` read this answer, where that is a member's (the Fetch standard's CORS protocol)."""
    if origin not in member_origins(status):
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", "Link, X-Raft-Index, Retry-After"),
        ("Vary", "Origin"),
    ]
