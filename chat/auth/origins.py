"""Origins (RFC 6454): which pages belong to this cluster, compared with the scheme's default port filled in.

A page that one node served goes on at another node when the first is gone, so browsers are told that it may.  A page
of anybody else may change nothing: bodies are read as JSON whatever their Content-Type says, so any page in a browser
could have that browser post to a node.

Rules
- Every comparison of an origin, a Host header and an advertised URL goes through `Origin`: scheme and host in lower
  case, the port always there.
- A refused origin is logged once, with the flag that would allow it.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from chat.errors import Problem, problem

logger = logging.getLogger(__name__)

DEFAULT_PORTS = {"http": 80, "https": 443}
LOGGED_MAX = 64  # refused origins that are remembered as logged: strangers choose them
_SHOWN_CHARACTERS_MAX = 200
_AUTHORITY = r"(?P<host>[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{0,5}))?"
_URL = re.compile(rf"(?P<scheme>https?)://{_AUTHORITY}(?:/[!-~]*)?", re.IGNORECASE)
_HOST = re.compile(_AUTHORITY)

_logged: set[str] = set()


class Origin(NamedTuple):
    """Scheme, host and port of a page or a node."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """The spelling of browsers: the scheme's default port is left out."""
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"


def origin_of(url: str) -> Origin | None:
    """The origin of an http or https URL, or in an Origin header; None for anything else, "null" included."""
    match = _URL.fullmatch(url)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"] or DEFAULT_PORTS[scheme])
    return Origin(scheme, match["host"].lower(), port) if port <= 65535 else None


def member_origins(status: dict[str, object]) -> Iterator[str]:
    """The members' origins in the body of `GET /raft`; an advertised text that has none is left out."""
    members = status.get("Members")
    for member in members if isinstance(members, list) else ():
        origin = origin_of(str(member.get("Advertise", "")))
        if origin is not None:
            yield str(origin)


def sharing_headers(origin: str, status: dict[str, object]) -> list[tuple[str, str]]:
    """The headers that let a member's page read this answer (the Fetch standard's CORS protocol); none for others."""
    if origin not in member_origins(status):
        return []
    return [
        ("Access-Control-Allow-Origin", origin),
        ("Access-Control-Expose-Headers", "Link, X-Raft-Index, Retry-After, X-Request-Id"),
        ("Vary", "Origin"),
    ]


def is_ours(origin: str, host: str, urls: Iterable[str], *, over_tls: bool = False) -> bool:
    """Return whether a page of this origin was served by the host of this request, or by a node at one of `urls`.

    A Host header without a port means the default port of the page's own scheme: a proxy in front may speak TLS, and
    need not say so.  `over_tls`: the request is known to have come over TLS, so a page without TLS is another one.
    """
    page = origin_of(origin)
    if page is None or origin.endswith("/"):
        return False
    asked = _HOST.fullmatch(host)
    if asked is not None and (page.scheme == "https" or not over_tls):
        port = int(asked["port"] or DEFAULT_PORTS[page.scheme])
        if (page.host, page.port) == (asked["host"].lower(), port):
            return True
    return page in map(origin_of, urls)


def foreign(origin: str, host: str) -> Problem:
    """403 for a page that somebody else served; logged once for each origin."""
    shown = repr(origin[:_SHOWN_CHARACTERS_MAX])
    if shown not in _logged and len(_logged) < LOGGED_MAX:
        _logged.add(shown)
        logger.warning(
            "a page of the origin %s was refused: the request went to the host %r, and no node advertises that origin. "
            "If that page is this chat, start its nodes with --advertise and the URL that browsers use. "
            "If it is another page of yours, start them with --allow-origin and its origin.",
            shown, host[:_SHOWN_CHARACTERS_MAX],
        )  # fmt: skip
    return problem(
        "foreign_origin",
        "Origin: pages of this address may not use the chat. Its operator can allow them: start the nodes with "
        "--advertise and the URL that browsers use, or with --allow-origin for a page of another site.",
    )


def is_of_own_page(environ: Mapping[str, Any], urls: Iterable[str]) -> bool:
    """Return whether a page of this chat sent the request, or no browser did, as far as its headers tell."""
    origin, host = environ.get("HTTP_ORIGIN"), environ.get("HTTP_HOST", "")
    if origin is None:
        return environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin")
    return is_ours(origin, host, urls, over_tls=is_over_tls(environ))


def check_change(environ: Mapping[str, Any], status: Callable[[], dict[str, object]]) -> None:
    """Refuse a change that a browser sends for somebody else's page; `status` gives the body of `GET /raft`.

    Raises Problem (403).  A client that sends neither header is no browser, or one so old that it has no `SameSite`
    either.
    """
    urls = member_origins(status()) if "HTTP_ORIGIN" in environ else ()
    if not is_of_own_page(environ, urls):
        raise foreign(environ.get("HTTP_ORIGIN", "(none)"), environ.get("HTTP_HOST", ""))


def check_read(environ: Mapping[str, Any], status: Callable[[], dict[str, object]]) -> None:
    """Refuse a read by a user whom a browser proves by itself, if it sends the request for somebody else's page.

    That page could not see the answer, but an event stream would go on, and its user look present.  What the user
    themselves opens from there, by a link, is no such request.  Raises Problem (403).
    """
    if environ.get("HTTP_SEC_FETCH_DEST") != "document":
        check_change(environ, status)


def is_over_tls(environ: Mapping[str, Any]) -> bool:
    """Return whether the client is known to have sent this request over TLS, to this node or to a trusted proxy."""
    return environ.get("wsgi.url_scheme") == "https"


def own_origin(environ: Mapping[str, Any]) -> Origin | None:
    """The origin of a page that is the answer to this request, as far as this node knows; None without a Host."""
    return origin_of(f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}")
