"""The names that this node goes by: a defence against DNS rebinding.

The owner of any host name can have it lead to this node.  A browser then takes the node for a part of their site, and
lets their page read and change what the node shows to anybody near.  Such a request has their name in its Host header.

Rules
- A request must name an IP address, localhost, the machine's own name, a name that a node advertises, or one of
  `--allowed-host`.  Nobody else can make these lead here.
- Behind a trusted proxy both the Host header and what the proxy forwards as the host have to be such a name: a proxy
  that does not set X-Forwarded-Host passes on what the page wrote.
- Health checks may name anything: they tell nothing that is worth it.
- A request without a Host header is no browser's.
- No client of plain HTTP is sent on to a URL with another host.
- A host that has passed is remembered, port and all, and the next request costs one look-up.  So a name goes on to pass
  until this node is restarted, even if no node advertises it any more.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from chat.auth.origins import origin_of
from chat.errors import Problem, problem, refuse

logger = logging.getLogger(__name__)

NAMES_MAX = 64  # of --allowed-host
PASSED_MAX = 256  # hosts that are remembered: the members' names, with a port or without
LOGGED_MAX = 64  # refused names that are remembered as logged: strangers choose them
CHARACTERS_MAX = 253  # of a name (RFC 1035 §3.1)
HEALTH_CHECKS = ("/livez", "/readyz")
_HOST = re.compile(r"(?P<name>[A-Za-z0-9._\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_NAME = re.compile(r"[A-Za-z0-9._\-]{1,253}")
# No registry gives a top-level domain of digits, so browsers take each such name for an IPv4 address (WHATWG URL §4.5).
_ADDRESS = re.compile(r"\[.*\]|(?:.*\.)?[0-9]+")

Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class AllowedHosts:
    """The names of one node.  Any thread."""

    def __init__(self, names: Iterable[str], advertised: Callable[[], Iterable[str]] = tuple) -> None:
        """`names`: as `normal` makes them.  `advertised` gives the URLs that clients reach the members under."""
        self._names = {"localhost", *names}
        self._advertised = advertised
        self._passed: set[str | None] = set()
        self._logged: set[str] = set()

    def guarding(self, app: WsgiApp, exempt: Collection[str] = HEALTH_CHECKS) -> WsgiApp:
        """The application, for requests whose Host header passes, or whose path is exempt."""

        passed = self._passed

        def guarded(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
            host = environ.get("HTTP_HOST")
            if host in passed or self._passes_now(host) or environ["RAW_URI"].partition("?")[0] in exempt:
                return app(environ, start_response)
            return refuse(self._wrong(str(host)), environ, start_response)

        return guarded

    def refusal(self, host: str) -> str:
        """Return why a Host header does not pass; "" if it does."""
        return "" if self.permits(host) else self._wrong(host).detail

    def _passes_now(self, host: Any) -> bool:
        if host is None or self.permits(host):
            if len(self._passed) >= PASSED_MAX:
                self._passed.clear()
            self._passed.add(host)
            return True
        return False

    def permits(self, host: str) -> bool:
        """Return whether this node goes by the name in a Host header."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = normal(match["name"])
        if _ADDRESS.fullmatch(name) or name in self._names or name.endswith(".localhost"):
            return True
        origins = map(origin_of, self._advertised())
        return any(origin is not None and normal(origin.host) == name for origin in origins)

    def _wrong(self, host: str) -> Problem:
        """421 for a host that does not pass; its name is logged once."""
        match = _HOST.fullmatch(host)
        name = normal(match["name"]) if match is not None and len(host) <= CHARACTERS_MAX else ""
        shown = repr(name or host[:CHARACTERS_MAX])
        if shown not in self._logged and len(self._logged) < LOGGED_MAX:
            self._logged.add(shown)
            logger.warning(
                "a request for the host %s was refused: this node does not go by that name. If it is a name of this "
                "chat, start its nodes with --allowed-host and that name.",
                shown,
            )
        asked = f"the name {name}" if name else "that name"
        detail = (
            f"Host: this node does not go by {asked}. If it is a name of this chat, its operator can allow it: start "
            f"the nodes with --allowed-host {name or 'NAME'}, or with --advertise and the URL that clients use."
        )
        return problem("wrong_host", detail)


def normal(name: str) -> str:
    """A host's name as names are compared: in lower case, without the dot of the root."""
    return name.lower().removesuffix(".")


def parse(text: str) -> tuple[str, ...]:
    """Names with commas between.  Raises ValueError, in words."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if len(items) > NAMES_MAX:
        raise ValueError(f"has {len(items)} names, at most {NAMES_MAX} are allowed")
    return tuple(dict.fromkeys(map(_parse_name, items)))


def _parse_name(item: str) -> str:
    try:
        name = normal(item.encode("idna").decode())  # as browsers write a name that is not ASCII
    except UnicodeError:
        name = ""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{item!r} is not the name of a host like chat.example.org, without a scheme and a port")
    return name
