"""The form of URLs that another node or an operator names: they go into the log, into log lines and into headers.

A URL with a line break would forge lines of the log, one with a semicolon a directive of the page's policy.
"""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

URL_POINTS_MAX = 2048
_PEER = re.compile(r"http://(?:\[[0-9A-Fa-f:.]+(?:%[\w.~-]+)?\]|[^\[\]:/?#@\s]+):([0-9]{1,5})/?")
_CLIENT = re.compile(r"https?://[^/?#@\s;,]+(?:/[A-Za-z0-9._~%!$&()*+=:@/-]*)?")
_NEVER = frozenset(" \"'<>\\^`{|}")


def is_peer_url(url: str) -> bool:
    """Return whether this is `http://host:port`, of printable ASCII."""
    match = _PEER.fullmatch(url) if _is_plain(url) else None
    return match is not None and 0 < int(match[1]) < 1 << 16


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches this host, an address or a name."""
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() in ("localhost", "localhost.")


def is_local_url(url: str) -> bool:
    """Return whether only this machine reaches this URL."""
    return is_loopback(urlsplit(url).hostname or "")


def is_client_url(url: str) -> bool:
    """Return whether this is an http or https URL without query, of printable ASCII."""
    return _is_plain(url) and _CLIENT.fullmatch(url) is not None


def _is_plain(url: str) -> bool:
    return len(url) <= URL_POINTS_MAX and url.isascii() and url.isprintable() and not _NEVER.intersection(url)
