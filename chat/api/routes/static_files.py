"""`/` and `/static/…`: the page and its files, from wherever the package lies (a checkout, a wheel, a zip).

`/static/<version>/…` is what the page names (`chat/api/page_files.py`). The files of the checkout are at `/static/…`.
"""

import re
from http import HTTPStatus

from werkzeug.http import is_resource_modified, quote_etag

from chat.api.page_files import MAIN, STYLES, VERSION_DIGITS, WORKER, File, all_files, page
from chat.api.request import Request
from chat.api.response import Headers, Response
from chat.api.router import Access, Answer, Route
from chat.auth.origins import member_origins, own_origin
from chat.errors import not_found

_HTML = "text/html; charset=utf-8"
_YEAR_S = 365 * 24 * 60 * 60
_VERSION = re.compile(rf"[0-9a-f]{{{VERSION_DIGITS}}}")
_TAKES_GZIP = re.compile(r"(?:^|,)\s*(?:gzip|\*)\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[\d.]+\s*)?(?:,|$)", re.IGNORECASE)
# What the page asks for first, so that it comes beside the script and not after it.  The same text is in
# static/js/server/: a browser uses what it has fetched ahead for this very address only.
FETCHED_AHEAD = ("me?", "rooms?limit=1000&details=true")
_AHEAD = ", ".join(f"<{address}>; rel=preload; as=fetch; crossorigin=anonymous" for address in FETCHED_AHEAD)


def index(request: Request) -> Response:
    """GET /: the chat client."""
    headers: Headers = [("Link", _AHEAD)] if _is_let_in(request) else []
    return _serve(request, page().index, [("Cache-Control", "no-cache"), *headers])


def static(request: Request, *path: str) -> Response:
    """GET /static/…: a file of the page."""
    if len(path) > 1 and _VERSION.fullmatch(path[0]):
        return _serve_version(request, path[0], "/".join(path[1:]))
    name = "/".join(path)
    # A service worker decides for addresses below its own; this one is to decide for the whole page.
    more = [("Service-Worker-Allowed", "../")] if name == WORKER else []
    return _serve(request, all_files().get(name), [("Cache-Control", "no-cache"), *more])


def _serve_version(request: Request, version: str, name: str) -> Response:
    """A file of this version of the page.

    Behind one name for all nodes, a page of another version may ask this node while the nodes are being updated.  It
    gets this node's script and style sheet.  It must not keep them, and its script must not run under two addresses.
    """
    ours = page()
    if version == ours.version:
        return _serve(request, ours.files.get(name), [("Cache-Control", f"public, max-age={_YEAR_S}, immutable")])
    if name == MAIN:
        body = f'import "../../{ours.version}/{MAIN}";\n'.encode()
        return Response(HTTPStatus.OK, body, ours.files[MAIN].content_type, _headers(request, [_NOT_KEPT]))
    if name == STYLES:
        location = ("Location", f"/static/{ours.version}/{STYLES}")
        return Response(HTTPStatus.FOUND, b"", headers=_headers(request, [_NOT_KEPT, location]))
    raise not_found("path: no such file")


_NOT_KEPT = ("Cache-Control", "no-store")


def _serve(request: Request, file: File | None, more: Headers) -> Response:
    if file is None:
        raise not_found("path: no such file")
    is_packed = file.packed != b"" and _TAKES_GZIP.search(request.environ.get("HTTP_ACCEPT_ENCODING", "")) is not None
    etag = f"{file.etag}-gzip" if is_packed else file.etag
    headers = _headers(request, [("ETag", quote_etag(etag)), *more])
    if file.packed:
        headers.append(("Vary", "Accept-Encoding"))
    if not is_resource_modified(request.environ, etag=etag):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers)
    if is_packed:
        headers.append(("Content-Encoding", "gzip"))
    return Response(HTTPStatus.OK, file.packed if is_packed else file.body, file.content_type, headers)


def _headers(request: Request, more: Headers) -> Headers:
    return [
        *more,
        ("Content-Security-Policy", _policy(request)),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]


def _is_let_in(request: Request) -> bool:
    """Return whether the page's requests will likely be answered without a sign-in; no table is asked for that."""
    has_cookie = "raft-chat-" in request.environ.get("HTTP_COOKIE", "")
    return has_cookie or not request.services.authenticator.hides_from_strangers()


def _policy(request: Request) -> str:
    """The content security policy: only our own files, no frames around us, connections to all members of the cluster.

    A page goes on at another member when its own one is gone.  Its own websocket is named too: not every browser takes
    it for 'self' (CSP3 §6.7.2.8).
    """
    members = sorted(set(member_origins(request.replica.status())))
    own = own_origin(request.environ)
    sockets = ["ws" + origin.removeprefix("http") for origin in sorted({*members, *([str(own)] if own else [])})]
    connect = " ".join(["'self'", *members, *sockets])
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; manifest-src 'self'; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


ROUTES = (
    Route(
        "GET", "/", index, Access.ANYBODY, "The chat page",
        answers={200: Answer("The page", content_type=_HTML), 304: Answer("As If-None-Match has it")},
    ),
    Route(
        "GET", "/static/{path*}", static, Access.ANYBODY, "The page's files",
        answers={
            200: Answer("The file", content_type="*/*"),
            302: Answer("The style sheet of a page of another version"),
            304: Answer("As If-None-Match has it"),
        },
        problems=("not_found",),
    ),
)  # fmt: skip
