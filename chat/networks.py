"""What an address counts as where clients are counted by where they come from."""

import ipaddress


def network(address: str) -> str:
    """An IPv4 address as it is, an IPv6 address by its /64: one line at home has 2^64 of these."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip if isinstance(ip, ipaddress.IPv4Address) else ip.ipv4_mapped)
