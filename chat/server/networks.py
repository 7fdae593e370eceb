"""Count clients by network, and choose the network that loses a connection when all are taken.

Rules
- While there is room anybody may have it: an office behind one address opens thousands of connections.
- When there is none, the network that holds most loses one to the others, as long as it keeps more than they do.
- This machine's own address is the operator's too: some connections are kept for it beyond the common bound.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

OPERATOR_SPARE: Final = 16  # connections, streams, websockets: an operator's tools open a few, and retry
_THIS_MACHINE: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def network(address: str) -> str:
    """The network of an address: an IPv4 address itself, or the /64 of an IPv6 address.  A home has 2^64 of these."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip if isinstance(ip, ipaddress.IPv4Address) else ip.ipv4_mapped)


def is_this_machine(address: str) -> bool:
    """Return True for an address of this machine itself."""
    return address in _THIS_MACHINE


def network_to_evict(held: Mapping[str, int], newcomer: str) -> str | None:
    """The network to evict from for one more of `newcomer`; None: refuse `newcomer`.  `held`: how many each holds."""
    largest = max(held, key=held.__getitem__, default=newcomer)
    return largest if largest != newcomer and held[largest] > 1 + held.get(newcomer, 0) else None
