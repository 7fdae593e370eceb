"""Serve this chat under the path prefix of `--base-path`, on a host that it shares.

Rules
- A target that begins with the prefix loses it, so proxies that pass the prefix on and proxies that take it off both
  work.  From there on the application knows no prefix.
- The prefix is WSGI's SCRIPT_NAME (PEP 3333); `Request.head` writes it before every path in `Location` and `Link`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

CHARACTERS_MAX = 128
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~\-]+)+")

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def checked(text: str) -> str:
    """The prefix without a slash at its end; "" for none.  Raises ValueError, in words."""
    prefix = text.rstrip("/")
    if not prefix:
        return ""
    segments = prefix.split("/")
    if len(prefix) > CHARACTERS_MAX or not _PREFIX.fullmatch(prefix) or "." in segments or ".." in segments:
        raise ValueError(
            "must begin with / and hold letters, digits, '-', '.', '_' and '~' only, "
            f"{CHARACTERS_MAX} characters at most, like /chat"
        )
    return prefix


def without(prefix: str, target: str) -> str:
    """The request target as the application knows it; `target` is in origin form."""
    rest = target[len(prefix) :]
    return rest if rest.startswith("/") and target.startswith(prefix) else target


def mounted(prefix: str, app: WsgiApp) -> WsgiApp:
    """The application under the prefix.  The prefix alone is redirected to the page."""

    def mounted_app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        target: str = environ["RAW_URI"]
        environ["SCRIPT_NAME"] = prefix
        path, mark, query = target.partition("?")
        if path == prefix and environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            location = f"{prefix}/{mark}{query}"
            start_response("308 Permanent Redirect", [("Location", location), ("Content-Length", "0")])
            return []
        environ["RAW_URI"] = without(prefix, target)
        return app(environ, start_response)

    return mounted_app


def never_waits_under(prefix: str, never_waits: Callable[[str, str], bool]) -> Callable[[str, str], bool]:
    """The function `never_waits` for requests under the prefix."""
    return lambda method, target: never_waits(method, without(prefix, target))


def prefixed(prefix: str, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers, with the prefix before each path in `Location` and `Link`."""
    return [(name, _prefixed(prefix, name, value)) for name, value in headers]


def _prefixed(prefix: str, name: str, value: str) -> str:
    if name == "Location":
        return prefix + value
    return value.replace("</", f"<{prefix}/") if name == "Link" else value
