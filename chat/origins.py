"""The origins that belong to this cluster: where clients reach its members, as browsers spell it (RFC 6454 §6.2).

A page that one member served goes on at another when the first is gone; browsers have to be told that it may.  A page
of anybody else's may change nothing here: bodies are JSON whatever their Content-Type says, so any page in a browser
could have it post to a node that this browser reaches.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from chat.problems import Problem

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


def is_ours(origin: str, host: str, members: Iterable[str]) -> bool:
    """Whether a page of this origin comes from where the request went, by its Host, or from a member (their URLs)."""
    try:
        parts = urlsplit(origin.lower())
        ours = {(known.scheme, known.netloc) for known in map(urlsplit, map(str.lower, members))}
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc:  # also "null"
        return False
    return parts.netloc == host.lower() or (parts.scheme, parts.netloc) in ours


def foreign() -> Problem:
    """403: a page that somebody else served."""
    return Problem(HTTPStatus.FORBIDDEN, "foreign_origin", "Origin: neither this host nor a member of the cluster")


def check_change(environ: Mapping[str, Any], status: Callable[[], dict[str, object]]) -> None:
    """Refuse a change that a browser sends for somebody else's page; `status` gives the body of `GET /raft`.

    Raises Problem (403).  Who sends neither of these headers is no browser, or one so old that it has no
    `SameSite` either.
    """
    origin = environ.get("HTTP_ORIGIN")
    if origin is None:
        if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
            raise foreign()
    elif not is_ours(origin, environ.get("HTTP_HOST", ""), member_origins(status())):
        raise foreign()
