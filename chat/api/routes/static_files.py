"""`/` and `/static/…`: the page and its files, from wherever the package lies (a checkout, a wheel, a zip).

The files are read once, at the start: there are few, a path is then no more than a key (nothing to climb out of),
and a bundle, which is a zip, is as quick as a disk and may be replaced while its node runs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from importlib.resources.abc import Traversable

from werkzeug.http import is_resource_modified, quote_etag

from chat.api.request import Request
from chat.api.response import Response
from chat.api.router import Access, Answer, Route
from chat.auth.origins import member_origins, own_origin
from chat.errors import not_found

PACKAGE = "static"
_TYPES = {  # what is not named here is no file of the page; the machine's own list of types is not asked
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/x-icon",
    "webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page, as it is sent."""

    body: bytes
    content_type: str
    etag: str  # without its quotes


def index(request: Request) -> Response:
    """GET /: the chat client."""
    return _serve(request, "index.html")


def static(request: Request, *path: str) -> Response:
    """GET /static/…: a file of the page."""
    return _serve(request, "/".join(path))


def _serve(request: Request, path: str) -> Response:
    file = all_files().get(path)
    if file is None:
        raise not_found("path: no such file")
    headers = [
        ("ETag", quote_etag(file.etag)),
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", _policy(request)),
        ("Referrer-Policy", "no-referrer"),
        ("Cross-Origin-Opener-Policy", "same-origin"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ]
    if not is_resource_modified(request.environ, etag=file.etag):
        return Response(HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(HTTPStatus.OK, file.body, file.content_type, headers)


@cache
def all_files() -> Mapping[str, File]:
    """The page's files by their paths; read once."""
    return dict(_walk(files(PACKAGE), ""))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, File]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif content_type := _TYPES.get(entry.name.rpartition(".")[2]):
            body = entry.read_bytes()
            yield prefix + entry.name, File(body, content_type, sha256(body).hexdigest()[:32])


def _policy(request: Request) -> str:
    """Nothing but our own files, no frames around us; connections to the cluster's other members too.

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
        answers={200: Answer("The page", content_type=_TYPES["html"]), 304: Answer("As If-None-Match has it")},
    ),
    Route(
        "GET", "/static/{path*}", static, Access.ANYBODY, "The page's files",
        answers={200: Answer("The file", content_type="*/*"), 304: Answer("As If-None-Match has it")},
        problems=("not_found",),
    ),
)  # fmt: skip
