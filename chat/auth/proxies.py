"""The client behind a trusted proxy: `--trust-proxy`, once or more often.

Rules
- Each proxy adds at the end of `X-Forwarded-For` the address that it was asked from, and to `Forwarded` (RFC 7239) an
  element that begins with it.  Only what a trusted proxy added is believed: the right-most address that is not itself a
  trusted proxy's is the client's, and the trusted proxy that was asked from there says the scheme and the host.
- `X-Forwarded-Proto` and `-Host` hold one value for all proxies, or a list of one for each.
- A proxy that writes one kind of header passes the other kind on as it came, from anybody.  So a request that has both
  is refused, unless both say the same.
- A connection from anybody else counts by its own address, whatever headers it sends.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from chat.auth import forwarded
from chat.auth.proxy_users import AuthHeaders
from chat.errors import Problem, problem, refuse

NETWORKS_MAX = 64
HOPS_MAX = 32  # of one header: more than any chain of proxies has
_REMEMBERED = 1024  # peers that are trusted or not, and what proxies told: clients send the same again and again
_REMEMBERED_CHARACTERS = 512  # of all headers together: a MiB in all
# A websocket's scheme stands for that of its opening request: one proxy in use sends it.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_HOST_CHARACTERS = re.compile(r"[!-~]{1,261}")  # checked further where a host is compared; 255 and a port
HEADERS = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Told(NamedTuple):
    """The client's side of a request, as trusted proxies tell it; "" where they say nothing."""

    address: str
    scheme: str
    host: str


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks whose proxies are believed."""

    networks: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def trusts(self, address: str) -> bool:
        """Return whether a connection from this address is a trusted proxy's."""
        ip = _address(address)
        return ip is not None and any(ip in network for network in self.networks)

    def client_address(self, peer: str, forwarded_for: str) -> str:
        """The client's address, by the connection's peer and the header X-Forwarded-For ("" for none)."""
        return self._walk(peer, _list(forwarded_for))[0]

    def told(self, peer: str, *headers: str | None) -> Told:
        """The client's side of a request from this trusted peer, by the values of HEADERS.  Raises Problem (400)."""
        *by_x_headers, header = headers
        by_x = None if by_x_headers == [None, None, None] else self._told_by_x(peer, *by_x_headers)
        if header is None:
            return by_x or Told(peer, "", "")
        elements = forwarded.parse(header)
        if elements is None:
            raise problem("bad_forwarded", "Forwarded: this header is malformed (RFC 7239)")
        told = self._told_by_elements(peer, elements[-HOPS_MAX:])
        if by_x not in (None, told):
            raise _contradicting()
        return told

    def _told_by_x(self, peer: str, hops: str | None, schemes: str | None, hosts: str | None) -> Told:
        address, believed = self._walk(peer, _list(hops or ""))
        scheme = _nth_from_right(_list(schemes or ""), believed)
        host = _nth_from_right(_list(hosts or ""), believed)
        return Told(address, _scheme(scheme), _checked_host(host))

    def _told_by_elements(self, peer: str, elements: Sequence[forwarded.Element]) -> Told:
        address, believed = self._walk(peer, [element.get("for", "") for element in elements])
        scheme = host = ""
        for element in reversed(elements[-believed:]):
            scheme = _scheme(element.get("proto", "")) or scheme
            host = element.get("host", "") or host
        return Told(address, scheme, _checked_host(host))

    def _walk(self, peer: str, hops: Sequence[str]) -> tuple[str, int]:
        """The client's address, and how many of the hops, from the right, trusted proxies added; at least one."""
        client, believed = peer, 0
        for hop in reversed(hops):
            if not self.trusts(client):
                break
            believed += 1
            ip = _address(_without_port(hop))
            if ip is None:
                break
            client = str(ip)
        return client, max(believed, 1)


def parse(text: str) -> TrustedProxies:
    """Addresses and networks with commas between, like `10.0.0.0/8,::1`.  Raises ValueError, in words."""
    items = [item.strip() for item in text.split(",") if item.strip()]
    if len(items) > NETWORKS_MAX:
        raise ValueError(f"has {len(items)} networks, at most {NETWORKS_MAX} are allowed")
    networks = []
    for item in items:
        try:
            networks.append(ipaddress.ip_network(item))
        except ValueError:
            raise ValueError(f"{item!r} is not an address or a network like 10.0.0.0/8") from None
    return TrustedProxies(tuple(networks))


def behind(proxies: TrustedProxies, app: WsgiApp, auth_headers: AuthHeaders | None = None) -> WsgiApp:
    """The application, with the client's own address as REMOTE_ADDR, and the scheme and the host that it asked for.

    `auth_headers`: those that name the user.
    """
    trusts = lru_cache(maxsize=_REMEMBERED)(proxies.trusts)
    told_before = lru_cache(maxsize=_REMEMBERED)(proxies.told)

    def app_behind(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer = environ["REMOTE_ADDR"]
        is_trusted = trusts(peer)
        if auth_headers is not None:
            auth_headers.take(environ, is_trusted=is_trusted)
        if is_trusted:
            try:
                headers = [environ.get(key) for key in HEADERS]
                is_short = sum(len(value) for value in headers if value) <= _REMEMBERED_CHARACTERS
                told = (told_before if is_short else proxies.told)(peer, *headers)
            except Problem as refused:
                return refuse(refused, environ, start_response)
            environ["REMOTE_ADDR"] = told.address
            if told.scheme:
                environ["wsgi.url_scheme"] = told.scheme
            if told.host:
                environ["HTTP_HOST"] = told.host
        return app(environ, start_response)

    return app_behind


def _checked_host(host: str) -> str:
    if host and not _HOST_CHARACTERS.fullmatch(host):
        raise problem("bad_forwarded", "X-Forwarded-Host or Forwarded: the host is malformed")
    return host.lower()


def _contradicting() -> Problem:
    detail = (
        "Forwarded: contradicts X-Forwarded-For, -Proto or -Host. Have the proxy in front of this node set one kind of "
        "these headers, and remove the other."
    )
    return problem("bad_forwarded", detail)


def _list(header: str) -> list[str]:
    """The last values of a list."""
    return [value.strip(" \t") for value in header.rsplit(",", HOPS_MAX)[-HOPS_MAX:]]


def _nth_from_right(values: Sequence[str], n: int) -> str:
    return values[-min(n, len(values))]


def _scheme(text: str) -> str:
    return _SCHEMES.get(text.lower(), "")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, ipaddress.IPv6Address) else ip


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, port = text.partition(":")
    return host if colon and port.isdecimal() else text
