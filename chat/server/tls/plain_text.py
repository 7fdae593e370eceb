"""Send clients that speak plain HTTP to the URL with https: on a port of their own, or on the port that expects TLS.

The answer is 308 (RFC 9110 §15.4.9), which keeps the method.  No client is to remember it: TLS can be turned off again.
"""

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from chat.server.http import HttpError, Request, parse_head
from chat.server.limits import Limits
from chat.server.responses import Headers, ResponseHead, error_response, status_line

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

TLS_HANDSHAKE: Final = 22  # the first byte of every TLS connection (RFC 8446 §5.1)
HTTPS_PORT: Final = 443
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d*)?")
_NO_HOST = HttpError(400, "tls_required", "this port needs TLS: use a URL that begins with https://")


def https_url(host: str, port: int, target: str) -> str | None:
    """The URL of `target` on the port that speaks TLS; `host` as in the header Host.  None: it names no host."""
    matched = _HOST.fullmatch(host)
    if matched is None:
        return None
    path = target if target.startswith("/") else "/"  # OPTIONS has `*` too
    return f"https://{matched[1]}{'' if port == HTTPS_PORT else f':{port}'}{path}"


def redirecting_app(port: int) -> "WSGIApplication":
    """The application of a port for plain HTTP, which sends clients to `port`."""

    def redirect_to_https(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # Without a usable Host, which HTTP/1.0 does not need, the name that this server listens at has to do.
        host = environ.get("HTTP_HOST", "")
        url = https_url(host, port, environ["RAW_URI"]) or https_url(environ["SERVER_NAME"], port, environ["RAW_URI"])
        if url is None:  # it listens at ::, or at a name of another alphabet
            start_response(status_line(400), [("Content-Type", "text/plain; charset=utf-8")])
            return [_NO_HOST.detail.encode() + b"\n"]
        headers, body = _redirect(url)
        start_response(status_line(308), headers)
        return [body]

    return redirect_to_https


def answer_to_plain_http(head: bytes, port: int, limits: Limits, host_refusal: Callable[[str], str]) -> bytes:
    """The whole answer to a request, of which only the head was read, on the port that expects TLS.

    `host_refusal(host)`: why nobody is sent there; "" if that is no reason.
    """
    try:
        request = parse_head(head, limits)
    except HttpError as refused:
        return error_response(refused)
    host = request.fields.get("HTTP_HOST", "")
    if host and (detail := host_refusal(host)):
        return error_response(HttpError(421, "wrong_host", detail))
    url = https_url(host, port, request.target)
    return error_response(_NO_HOST) if url is None else _whole(request, *_redirect(url))


def _whole(request: Request, headers: Headers, body: bytes) -> bytes:
    return ResponseHead(status_line(308), headers, request, keep_alive=False).with_body(body)


def _redirect(url: str) -> tuple[Headers, bytes]:
    headers = [("Location", url), ("Cache-Control", "no-store"), ("Content-Type", "text/plain; charset=utf-8")]
    return headers, f"This server needs TLS. Use {url}\n".encode()
