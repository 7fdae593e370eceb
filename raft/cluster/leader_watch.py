"""Leader watch: a follower learns from a refused connection that its leader's process has ended.

The end of a process closes its connections and its port at once, long before an election timeout tells of its silence.
So when a connection ends on which the leader sent appends, this node asks the leader's peer port.  Only a refused
connection counts: then the other host's system answers that no process listens.

Rules
- A refusal is one member's own knowledge.  It makes this node forget its leader and ask for pre-votes, no more
  (raft/core/node.py, `leader_gone`).
- A time-out, a reset after the connection was made, or any other error says nothing: the election timeout decides.
- All addresses have to refuse: those of the newest URL, and of the URL where the member answered before it moved.
- One ended connection leads to at most one such question, so a port that always refuses is not asked again and again.
- No thread that serves a connection waits for the answer, and no message of the cluster does.
"""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from raft.core.node import Node
from raft.engine.node_lock import NodeLock
from raft.rpc.peer_client import Addresses, parse_peer_url

logger = logging.getLogger(__name__)

TICKS_PER_HEARTBEAT = 12  # until a new leader is there: the waits of an election are as long as a few of these ticks
_HAS_NO_WAY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENETUNREACH})  # say a machine without IPv6


class LeaderWatch:
    """The thread that asks the leader's port.  `tick()` ticks the node; False: an election may be under way."""

    def __init__(
        self,
        node_lock: NodeLock,
        addresses: Addresses,
        tick: Callable[[], bool],
        *,
        heartbeat_ms: float,
        election_timeout_ms: float,
    ) -> None:
        self._node_lock = node_lock
        self._addresses = addresses
        self._tick = tick
        self._tick_s = heartbeat_ms / 1000 / TICKS_PER_HEARTBEAT
        self._timeout_s = election_timeout_ms / 1000
        self._ended: SimpleQueue[int] = SimpleQueue()  # one for each ended connection; 0 ends the thread

    def connection_ended(self, member: int) -> None:
        """Note that a connection has ended on which `member` sent appends.  For any thread; it never blocks."""
        if member == self._node_lock.leader_id:
            self._ended.put(member)

    def stop(self) -> None:
        """End the thread."""
        self._ended.put(0)

    def run(self, stopping: threading.Event) -> None:
        """Run the thread."""
        while member := self._ended.get():
            if not stopping.is_set() and self._forget_if_gone(member):
                self._tick_until_elected(stopping)

    def _forget_if_gone(self, member: int) -> bool:
        def followed(node: Node) -> tuple[int, str]:
            """Return the term in which this node follows `member`, 0 for none, and the newest URL."""
            known = node.configuration.members.get(member)
            return (node.current_term if node.leader_id == member else 0), (known.url if known else "")

        term, url = self._node_lock.read(followed)
        if not term or not url:
            return False
        urls = [url, self._addresses.earlier(member, url)]
        if not all(is_refused(url, self._timeout_s) for url in urls if url):
            return False
        if not self._node_lock.act(lambda node: node.leader_gone(member, term)):
            return False
        logger.info("member %d does not lead any more: its process has ended, and %s refuses connections", member, url)
        return True

    def _tick_until_elected(self, stopping: threading.Event) -> None:
        """Tick more often than usual while this node has no leader, for an election timeout at most."""
        deadline_s = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline_s and not stopping.wait(self._tick_s):
            if self._tick():
                return


def is_refused(url: str, timeout_s: float) -> bool:
    """Return whether every address of `url` that this machine can reach refuses a connection, at once.

    `timeout_s` bounds the wait for each address.
    """
    try:
        host, port = parse_peer_url(url)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, ValueError):  # a name that is not known now, or not a URL
        return False
    refusals = [_refusal(family, address, timeout_s) for family, _, _, _, address in found]
    return True in refusals and False not in refusals


def _refusal(family: int, address: tuple[object, ...], timeout_s: float) -> bool | None:
    """Return True if the address refuses a connection; None if this machine has no way to such addresses."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as peer:
            peer.settimeout(timeout_s)
            peer.connect(address)
    except ConnectionRefusedError:
        return True
    except OSError as error:
        return None if error.errno in _HAS_NO_WAY else False
    return False
