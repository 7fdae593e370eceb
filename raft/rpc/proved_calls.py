"""The calls of peers that have proved the cluster's secret, as the endpoint takes them.

What a connection has proved is kept in its `environ["raft_chat.connection"]`, a dict that ends with the connection:
first the handshake under way, then the session.

Rules
- A connection without a session takes a Challenge, then its Prove, and nothing else.  A newer Challenge replaces an
  older one.  With --accept-unsigned-peers it takes calls without a MAC, too.
- On a connection with a session, all that comes has a MAC.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from raft.errors import UnprovedPeer
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.handshake import NONCE_BYTES, ServerHandshake, Session, is_challenge, is_prove

logger = logging.getLogger(__name__)

Seal = Callable[[int, bytes], bytes]  # (status, body of an answer) -> what is sent
REFUSALS_LOGGED_MAX = 20  # in LOG_EVERY_S: strangers choose some of the words
LOG_EVERY_S = 60.0


class Opened(NamedTuple):
    """A call whose MAC was right, or that needs none; or (`reply`) a step of the handshake, with its answer.

    `session` is what the connection has proved, with the last step too.
    """

    body: bytes = b""
    session: Session | None = None
    seal: Seal | None = None  # of the answer
    is_retired: bool = False  # the key was replaced: the call is refused
    reply: bytes = b""


class RefusalLog:
    """Logs the refusals of peers: each once in a minute, and not more than some.  Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # around the two below
        self._logged: set[tuple[str, str]] = set()  # (address, text) of refusals, since ...
        self._forget_s = 0.0

    def note(self, address: str, why: str) -> None:
        """Note that a peer at this address was refused."""
        now_s = time.monotonic()
        with self._lock:
            if now_s >= self._forget_s:
                self._logged.clear()
                self._forget_s = now_s + LOG_EVERY_S
            is_new = (address, why) not in self._logged and len(self._logged) < REFUSALS_LOGGED_MAX
            if is_new:
                self._logged.add((address, why))
        if is_new:
            logger.warning("refused a peer at %s: %s", address, why)


class ProvedCalls:
    """Takes what peers send, and knows what their connections have proved."""

    def __init__(self, secret: ClusterSecret) -> None:
        self._secret = secret

    def open(self, connection: dict[str, Any], body: bytes) -> Opened:
        """Take the body of a request.  Raises UnprovedPeer: refuse it, and close the connection."""
        session: Session | None = connection.get("session")
        if session is not None:
            body = session.open_request(body)
            seal = partial(session.seal_answer, session.calls)
            return Opened(body, session, seal, session.key not in self._secret.keys)
        if is_challenge(body):
            handshake = ServerHandshake(body, os.urandom(NONCE_BYTES))
            connection["handshake"] = handshake
            return Opened(reply=handshake.reply)
        if is_prove(body):
            return self._prove(connection, body)
        if self._secret.accepts_unsigned:
            return Opened(body)
        raise UnprovedPeer("calls without the cluster's secret: start it with the same --cluster-secret-file")

    def _prove(self, connection: dict[str, Any], body: bytes) -> Opened:
        handshake: ServerHandshake | None = connection.pop("handshake", None)
        if handshake is None:
            raise UnprovedPeer("proves something that it was not asked for")
        reply, session = handshake.prove(body, self._secret.keys, self._secret.claim())
        connection["session"] = session
        return Opened(reply=reply, session=session)
