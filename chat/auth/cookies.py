"""The cookie that a browser proves itself with (RFC 6265).

A browser sends the same cookie to every port of a host: to all nodes of a cluster there, which is wanted, and to the
nodes of another cluster too.  So its name has the cluster's id.  No script can read it, and no other site can have it
sent.
"""

NAME_DIGITS = 8  # of the cluster's id: two clusters of one host differ in them


def name(cluster_id: str) -> str:
    """The name of this cluster's cookie."""
    return f"raft-chat-{cluster_id[:NAME_DIGITS]}"


def values(header: str, name: str) -> set[str]:
    """The values of the cookies with this name in a Cookie header; a sibling host or a path can make them several."""
    pairs = (pair.strip(" \t").partition("=") for pair in header.split(";"))
    return {value for key, _, value in pairs if key == name}


def setting(name: str, secret: str, seconds: int, *, is_secure: bool) -> str:
    """The Set-Cookie header that makes a browser keep a secret for so long; 0: drop it.  `is_secure`: over TLS only."""
    return f"{name}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{'; Secure' if is_secure else ''}"
