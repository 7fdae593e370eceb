"""Pages of other sites that may use this chat: `--allow-origin`, once or more often (the Fetch standard's CORS).

Rules
- An origin is compared whole: scheme, host and port.
- Such a page proves its user with a Bearer token, and its websockets with a ticket.  Cookies and the header of
  `--auth-header` do not count, because a browser adds them for the page whether its user wants that or not.
- The answers differ by the header Origin, so that caches are told to tell them apart.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from chat.auth.origins import Origin, is_ours, is_over_tls, origin_of

ORIGINS_MAX = 64
# In the environ of each request where there is such a page: the origin of the one that sent it, or "".
GUEST_PAGE = "raft_chat.guest_page"
PREFLIGHT_S = 600  # for which a browser asks no second time
_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Range, X-Request-Id"
_EXPOSED_HEADERS = "Link, Location, Retry-After, X-Raft-Index, X-Request-Id"

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def parse(text: str) -> frozenset[Origin]:
    """Origins with commas between, like `https://intranet.example`.  Raises ValueError, in words."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if len(items) > ORIGINS_MAX:
        raise ValueError(f"has {len(items)} origins, at most {ORIGINS_MAX} are allowed")
    origins = set()
    for item in items:
        origin = origin_of(item)
        if origin is None or item.removesuffix("/").count("/") != 2:
            raise ValueError(f"{item!r} is not an origin like https://intranet.example or http://10.0.0.1:8080")
        origins.add(origin)
    return frozenset(origins)


def marking(origins: frozenset[Origin], nodes: Callable[[], Iterable[str]], app: WsgiApp) -> WsgiApp:
    """The application, with requests of these pages marked.  `nodes` gives the URLs of the members' own pages."""

    def marked(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        origin = environ.get("HTTP_ORIGIN")
        environ[GUEST_PAGE] = "" if origin is None else _guest_page(origin, environ)
        return app(environ, start_response)

    def _guest_page(origin: str, environ: Environ) -> str:
        page = origin_of(origin)
        if page not in origins or origin.count("/") != 2:
            return ""
        if is_ours(origin, environ.get("HTTP_HOST", ""), nodes(), over_tls=is_over_tls(environ)):
            return ""
        return str(page)

    return marked


def is_of_guest_page(environ: Mapping[str, Any]) -> bool:
    """Return whether a page of `--allow-origin` sent this request."""
    return bool(environ.get(GUEST_PAGE))


def headers_for_page(environ: Mapping[str, Any]) -> Headers:
    """The headers that let such a page read the answer, or tell caches that another page could."""
    page = environ.get(GUEST_PAGE)
    if page is None:
        return []
    if not page:
        return [("Vary", "Origin")]
    return [
        ("Access-Control-Allow-Origin", page),
        ("Access-Control-Expose-Headers", _EXPOSED_HEADERS),
        ("Vary", "Origin"),
    ]


def preflight_headers(environ: Mapping[str, Any], allowed: str) -> Headers:
    """The further headers of the answer to a browser that asks first; `allowed`: the methods of the path."""
    if not is_of_guest_page(environ) or "HTTP_ACCESS_CONTROL_REQUEST_METHOD" not in environ:
        return []
    return [
        ("Access-Control-Allow-Methods", allowed),
        ("Access-Control-Allow-Headers", _REQUEST_HEADERS),
        ("Access-Control-Max-Age", str(PREFLIGHT_S)),
    ]
