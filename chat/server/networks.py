"""What an address counts as where clients are counted by where they come from, and who gives way when all is taken.

Rules
- While there is room anybody may have it: an office behind one address opens thousands of connections.
- When there is none, the network that holds most gives way to the others, as long as it keeps more than they do.
- This machine's own address is the operator's too: something is kept for it beyond what everybody may have.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final

OPERATOR_SPARE: Final = 16  # connections, streams, websockets: an operator's tools open a few, and retry
_THIS_MACHINE: Final = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def network(address: str) -> str:
    """An IPv4 address as it is, an IPv6 address by its /64: one line at home has 2^64 of these."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip if isinstance(ip, ipaddress.IPv4Address) else ip.ipv4_mapped)


def is_this_machine(address: str) -> bool:
    """Whether a connection from this address is one of this machine to itself."""
    return address in _THIS_MACHINE


def network_to_evict(held: Mapping[str, int], newcomer: str) -> str | None:
    """The network that gives way to one more of `newcomer`, by how many each holds; None: `newcomer` is turned away."""
    largest = max(held, key=held.__getitem__, default=newcomer)
    return largest if largest != newcomer and held[largest] > 1 + held.get(newcomer, 0) else None
