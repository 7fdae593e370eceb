"""Requests of programs on the node's own machine, which may do what needs no account."""

from collections.abc import Mapping
from typing import Any

_FORWARDED = (
    "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)  # fmt: skip
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def is_local(environ: Mapping[str, Any]) -> bool:
    """Return whether the request comes from a program on this machine: neither from a proxy nor from a web page.

    A page's host name may lead here (DNS rebinding), so the name in `Host` has to be this machine's.
    """
    if not environ.get("raft_chat.from_this_machine") or any(name in environ for name in _FORWARDED):
        return False
    host = environ.get("HTTP_HOST", "").lower()
    return host in _LOCAL_HOSTS or host.rpartition(":")[0] in _LOCAL_HOSTS
