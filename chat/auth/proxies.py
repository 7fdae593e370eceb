"""The address of a client behind a trusted proxy: `--trust-proxy`, once or more often.

Rules
- `X-Forwarded-For` is a list; each proxy adds at its end the address that it was asked from.  Only what a trusted
  proxy added is believed: the right-most address that is not itself a trusted proxy's is the client's.
- A connection from anybody else counts by its own address, whatever headers it sends.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

NETWORKS_MAX = 64
HOPS_MAX = 32  # of one header: more than any chain of proxies has

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Environ = dict[str, Any]
WsgiApp = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


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
        client = peer
        for hop in reversed(forwarded_for.split(",")[-HOPS_MAX:]):
            if not self.trusts(client):
                break
            ip = _address(_without_port(hop.strip(" \t")))
            if ip is None:
                break
            client = str(ip)
        return client


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


def behind(proxies: TrustedProxies, app: WsgiApp) -> WsgiApp:
    """The application, with the client's own address as REMOTE_ADDR."""

    def app_behind(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        forwarded_for = environ.get("HTTP_X_FORWARDED_FOR", "")
        environ["REMOTE_ADDR"] = proxies.client_address(environ["REMOTE_ADDR"], forwarded_for)
        return app(environ, start_response)

    return app_behind


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
