"""The client side of the peers' RPC: JSON over plain HTTP, keep-alive, one request at a time on a connection.

A PeerConnection makes calls.  A PeerQueue is a thread with a connection of its own that sends messages to one peer.  A
newer message replaces one of its kind that still waits, because Raft repeats what matters.  Each peer has several
queues: heartbeats and votes must not wait behind appends, which may wait for the peer's disk, nor behind a snapshot.

A member that moves is called at its newest URL first.  While nothing answers there, the URL at which it answered last
is tried: a move is committed before the member itself has moved, or after.

With a cluster secret each connection begins with a handshake, before its first call (handshake.py).  With certificates
it is over mutual TLS (peer_certificates.py).
"""

import contextlib
import fcntl
import logging
import os
import select
import socket
import ssl
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import inf
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from raft.core.urls import is_peer_url
from raft.errors import InvalidMessage, UnprovedPeer
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.handshake import NONCE_BYTES, ClientHandshake, Key, Proved, Session
from raft.rpc.peer_certificates import CertifiedPeer, PeerCertificates, words

logger = logging.getLogger(__name__)

HEAD_BYTES_MAX = 16 << 10
HEADS_MAX = 64  # parsed heads that are remembered: those of a peer's answers differ in the length only
RECV_BYTES = 4 << 10  # holds a usual answer; the buffer is allocated for each recv
BODY_RECV_BYTES = 256 << 10
MOVE_AFTER_S = 1.0  # a connection to an earlier URL tries the newest one again, less and less often,
MOVE_AFTER_MAX_S = 60.0
MOVE_SHARE = 4  # and only for a part of its time-out, because heartbeats wait meanwhile
HTTP_OK, HTTP_BAD_REQUEST, HTTP_UNAUTHORIZED, HTTP_NOT_FOUND = 200, 400, 401, 404
HTTP_PERMANENT_REDIRECT = 308
UNPROVED = "unproved_peer"  # the code of a refusal for want of the cluster's secret
TLS_PIECE_BYTES = 64 << 10  # of a large body that is sent over TLS
PROOFS_MAX = 2  # handshakes for one call: a key may be replaced while the connection is idle
IDLE_S = 1.0  # a connection that was idle for longer is checked before it is used
BODY_BYTES_MAX = 64 << 20
BEGUN_BYTES_MAX = 64 << 10  # of an answer that comes in pieces, each of which is looked at
STRANGERS_BYTES_MAX = 16 << 10  # of an answer to a handshake, which may be a proxy's refusal with a page
LARGE_BYTES = 4 << 10  # a larger body may take a slow line a moment
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: drop the bytes that have not gone over the line yet
RPC_PATH = "/rpc"
NO_SECRET = "it has no cluster secret: start it with the same --cluster-secret-file"
TLS_ONLY = "it speaks TLS only: start this node with --peer-cert, --peer-key and --peer-ca"
REFUSED_PROOF = "it refuses this node's cluster secret, or its id or cluster: its log says which"

T = TypeVar("T")


def parse_peer_url(url: str) -> tuple[str, int]:
    """Return host and port of `http://host:port`.  Raises ValueError, which says what is wrong."""
    parts = urlsplit(url)
    if parts.scheme != "http":
        raise ValueError(f"{url!r} does not begin with http://")
    if not parts.hostname or not parts.port:
        raise ValueError(f"{url!r} lacks a host or a port")
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
        raise ValueError(f"{url!r} has more than http://host:port")
    if not is_peer_url(url):  # urlsplit silently drops line breaks, and accepts impossible host names
        raise ValueError(f"{url!r} is not like http://host:port")
    return parts.hostname, parts.port


class ProofRefused(ConnectionError):
    """The other end has another cluster secret, or none, or a certificate that is not accepted, or refuses ours."""


class Addresses:
    """The URL at which each member answered last, for as long as its newest one does not answer.  Thread-safe."""

    def __init__(
        self,
        listed: Mapping[int, str] | None = None,
        secret: ClusterSecret | None = None,
        certificates: PeerCertificates | None = None,
    ) -> None:
        """`listed`: id -> URL of --cluster, which is newer than the log of a node that moved with the others.

        `secret`: each connection begins with a proof of it.  `certificates`: it is over mutual TLS.
        """
        self.secret = secret
        self.certificates = certificates
        self._last = dict(listed or {})  # read and written in one step each

    def answered(self, member: int, url: str) -> None:
        """Note that `member` has answered at `url`."""
        self._last[member] = url

    def earlier(self, member: int, url: str) -> str:
        """Return the URL to try for `member` when `url` does not answer; "" if no other is known."""
        last = self._last.get(member, "")
        return last if last != url else ""


class PeerConnection:
    """A keep-alive connection to the peer at `url`, opened when needed.  For one thread, except `close`."""

    def __init__(self, url: str, addresses: Addresses | None = None, member: int = 0) -> None:
        """`addresses` knows where else `member` may answer; without them only `url` is tried."""
        self.url = url
        self._addresses = addresses
        self._member = member
        self._earlier_url = ""  # the URL that is used instead of `url`
        self._move_s = 0.0  # when `url` is tried again,
        self._move_after_s = MOVE_AFTER_S  # and the pause before that try
        self._unnoted = False  # the peer has not answered on this connection yet
        self._address = parse_peer_url(url)
        self._socket: socket.socket | None = None
        self._secret = addresses.secret if addresses is not None else None
        self._certificates = addresses.certificates if addresses is not None else None
        self._keys: tuple[Key, ...] = ()  # those of the secret when the connection was opened
        self._session: Session | None = None  # of the secret
        self._certified = None if self._certificates is None else CertifiedPeer(member)
        self.proved: Proved | None = None  # what the senders of answers have to agree with; None: nothing was proved
        self._timeout_s = 0.0  # as set on the socket
        self.line_is_slow = False  # in the last call, a check found bytes still unsent
        self._deadline_s = inf  # of the handshake under way: who has proved nothing makes no progress that counts
        self._patience_s = 0.0  # the longest wait of this call without progress,
        self._progress_s = 0.0  # the time of the last progress,
        self._unsent = 0  # and the bytes that had not arrived at that time
        self._on_wait: Callable[[], None] | None = None
        self._used_s = 0.0
        self._received = b""  # of the answer to `begin`
        host, port = self._address
        host = f"[{host}]" if ":" in host else host
        self._head = f"POST {RPC_PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: ".encode()

    def call(
        self, body: bytes, timeout_s: float, *, poll_s: float = 0.0, on_wait: Callable[[], None] | None = None
    ) -> tuple[int, bytes]:
        """POST `body`; return the status and the body of the answer.

        `timeout_s` bounds each wait without progress: while bytes of a large body still arrive, the call goes on.
        Progress is checked each `poll_s` (0: each `timeout_s`), and `on_wait` is called then.  Raises OSError or
        InvalidMessage; then the outcome is unknown, and the next call opens a new connection.
        """
        self.line_is_slow = False
        try:
            for _ in range(PROOFS_MAX):
                peer = self._connect(timeout_s, poll_s or timeout_s)
                self._patience_s, self._on_wait = timeout_s, on_wait
                if (answer := self._exchange(peer, self._session, body)) is not None:
                    break
                self.close()  # nothing was done: the peer asks for a new proof
            else:
                raise ProofRefused("it refuses each proof of the cluster's secret")
            if self._unnoted:
                self._note(answer[0])
            return answer
        except (OSError, InvalidMessage) as error:
            self.give_up()
            if isinstance(error, ssl.SSLError):
                raise ProofRefused(words(error)) from None
            raise
        finally:
            self._used_s = time.monotonic()

    def _exchange(self, peer: socket.socket, session: Session | None, body: bytes) -> tuple[int, bytes] | None:
        """Send one request and receive its answer; None: the peer did nothing, and wants a handshake before it."""
        status, answer, keep_alive = self._post(peer, self._request(session, body))
        if session is not None:
            answer = _opened(session, status, answer)
        if not keep_alive:
            self.close()
        if status == HTTP_UNAUTHORIZED and self._secret is not None and (session is not None or self._may_be_signed()):
            return None
        return status, answer

    def _request(self, session: Session | None, body: bytes) -> bytes:
        mac = b"" if session is None else session.seal_request(body)
        # In one write, so that Nagle's algorithm never waits.
        return b"%b%d\r\n\r\n%b%b" % (self._head, len(mac) + len(body), mac, body)

    def _may_be_signed(self) -> bool:
        """Note that a member that was called without a proof wants one, and return True."""
        assert self._secret is not None
        self._secret.note_signed(self._member)
        return True

    def _post(self, peer: socket.socket, request: bytes, bytes_max: int = BODY_BYTES_MAX) -> tuple[int, bytes, bool]:
        try:  # noqa: SIM105  suppress() costs more than all else here
            self._send(peer, request)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a port that refuses the call before it has read all of it answers, too
        answer = self._receive(peer, bytes_max)
        if answer[0] == HTTP_PERMANENT_REDIRECT:  # a port of TLS, to a client without it
            raise ProofRefused(TLS_ONLY)
        return answer

    def _send(self, peer: socket.socket, data: bytes) -> None:
        self._progress_s, self._unsent = time.monotonic(), len(data)
        sent = 0
        is_whole = self._certificates is None  # OpenSSL returns only when all of a piece is sent
        while sent < len(data):
            try:
                sent += peer.send(data if is_whole and not sent else _unsent(data, sent, whole=is_whole))
                if sent < len(data):
                    self._progress_s = time.monotonic()
            except (BlockingIOError, TimeoutError):  # from the kernel's time-out, and from that of an SSLSocket
                self._check_progress(peer)
        # The kernel is asked at the first silence only: asking at each call costs a turn of the other threads.
        self._unsent = len(data) if len(data) > LARGE_BYTES else 0

    def _check_progress(self, peer: socket.socket) -> None:
        """Check a silent line: go on as long as it takes bytes.  Raises TimeoutError."""
        now_s, unsent = time.monotonic(), _unsent_bytes(peer)
        if unsent < self._unsent:
            self._unsent, self._progress_s = unsent, now_s
        if unsent:
            self.line_is_slow = True
        if now_s - self._progress_s >= self._patience_s - 0.001:  # the kernel's clock and this one differ a little
            raise TimeoutError("timed out")
        if self._on_wait is not None:
            self._on_wait()

    def begin(self, body: bytes) -> int:
        """Send a call without waiting; return the descriptor on which to wait for its answer.

        -1: nothing was sent that counts, and `call` has to make this call: it may have to connect first, or to wait.
        """
        peer = self._socket
        if peer is None or self._certificates is not None or self._is_outdated(peer):
            return -1
        request = self._request(self._session, body)
        try:
            if peer.send(request, socket.MSG_DONTWAIT) == len(request):
                self._received = b""
                return peer.fileno()
        except OSError:
            pass
        self.give_up()  # the peer drops a part of a request with its connection
        return -1

    def _is_outdated(self, peer: socket.socket) -> bool:
        """Return whether an open connection is not the one to use: by its key, its age, or its URL."""
        if self._secret is not None and self._keys is not self._secret.keys:
            return True
        now_s = time.monotonic()
        if self._earlier_url and now_s >= self._move_s:
            return True
        return now_s - self._used_s > IDLE_S and _is_unusable(peer)

    def receive_begun(self) -> tuple[int, bytes] | None:
        """Take what has come of the answer to `begin`: its status and body once it is whole, else None.

        Raises OSError or InvalidMessage, as `call` does.
        """
        try:
            if (received := self._receive_now()) is None:
                return None
            status, answer, keep_alive = received
            if self._session is not None:
                answer = _opened(self._session, status, answer)
        except (OSError, InvalidMessage):
            self.give_up()
            raise
        self._used_s = time.monotonic()
        if not keep_alive or status != HTTP_OK:
            self.close()
        return status, answer

    def _receive_now(self) -> tuple[int, bytes, bool] | None:
        peer = self._socket
        if peer is None:
            raise ConnectionAbortedError("the connection was closed")
        try:
            data = peer.recv(RECV_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("the peer closed the connection")
        received = self._received = self._received + data
        if (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > HEAD_BYTES_MAX:
                raise InvalidMessage("an answer with a head that does not end")
            return None
        status, length, keep_alive = _parse_head(received[:end])
        if length > BEGUN_BYTES_MAX:
            raise InvalidMessage(f"an answer of {length} bytes to a short call")
        missing = end + 4 + length - len(received)
        return None if missing > 0 else (status, received[end + 4 : end + 4 + length], keep_alive and not missing)

    def open(self, timeout_s: float) -> None:
        """Connect if necessary.  Raises OSError: nothing was sent."""
        self._connect(timeout_s, timeout_s)

    def close(self) -> None:
        """Close the connection; a call under way in another thread fails."""
        peer, self._socket = self._socket, None
        if peer is not None:
            with contextlib.suppress(OSError):  # the socket may not be connected any more
                if _unsent_bytes(peer):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                socket.socket.shutdown(peer, socket.SHUT_RDWR)  # SSLSocket's own forgets its TLS state
            peer.close()

    def give_up(self) -> None:
        """End a failed call with a reset, so that its unsent bytes do not use a slow line."""
        peer, self._socket = self._socket, None
        if peer is not None:
            with contextlib.suppress(OSError):
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            peer.close()

    def _connect(self, timeout_s: float, poll_s: float) -> socket.socket:
        peer = self._socket  # read once, because another thread may close it at any time
        if peer is not None and self._secret is not None and self._keys is not self._secret.keys:
            self.close()
            peer = None
        if peer is not None and time.monotonic() - self._used_s > IDLE_S and _is_unusable(peer):
            self.close()
            peer = None
        if peer is not None and self._earlier_url and time.monotonic() >= self._move_s:
            peer = self._move(peer, timeout_s / MOVE_SHARE)
        if peer is None:
            peer = self._open(timeout_s)
        if poll_s != self._timeout_s:
            _set_timeout(peer, poll_s)
            self._timeout_s = poll_s
        return peer

    def _open(self, timeout_s: float) -> socket.socket:
        """Connect to `url`, or to the URL where the member answered last."""
        earlier = ""
        try:
            peer, session = self._reach(self._address, timeout_s)
        except OSError as error:
            earlier = self._addresses.earlier(self._member, self.url) if self._addresses else ""
            if not earlier:
                raise
            try:
                peer, session = self._reach(parse_peer_url(earlier), timeout_s)
            except OSError:
                raise error from None  # show the error of the newest URL
            self._move_s = time.monotonic() + self._move_after_s
        self._earlier_url = earlier
        return self._use(peer, session)

    def _move(self, peer: socket.socket, timeout_s: float) -> socket.socket:
        """Switch to `url` if it can be reached by now; otherwise go on with `peer`."""
        try:
            moved, session = self._reach(self._address, timeout_s)
        except OSError:
            self._move_after_s = min(2 * self._move_after_s, MOVE_AFTER_MAX_S)
            self._move_s = time.monotonic() + self._move_after_s
            return peer
        self.close()
        self._earlier_url = ""
        return self._use(moved, session)

    def _use(self, peer: socket.socket, session: Session | None) -> socket.socket:
        self._socket, self._timeout_s, self._session = peer, 0.0, session
        self.proved = session or self._certified
        self._unnoted = self._addresses is not None
        return peer

    def _note(self, status: int) -> None:
        """Note the first answer on this connection; a refusal at an earlier URL may be another node's."""
        self._unnoted = False
        if status == HTTP_OK:
            assert self._addresses is not None
            self._addresses.answered(self._member, self._earlier_url or self.url)
        elif self._earlier_url:
            self.close()

    # The handshake

    def _reach(self, address: tuple[str, int], timeout_s: float) -> tuple[socket.socket, Session | None]:
        """Open a connection, and prove the secret on it.  Raises OSError."""
        deadline_s = time.monotonic() + timeout_s
        peer = self._dial(address, deadline_s)
        secret = self._secret
        if secret is None:
            return peer, None
        self._keys = secret.keys
        if secret.calls_unsigned(self._member):
            return peer, None
        try:
            session, is_open = self._prove(peer, secret, deadline_s)
            if session is None and not is_open:
                peer.close()
                peer = self._dial(address, deadline_s)
            return peer, session
        except (OSError, InvalidMessage) as error:
            peer.close()
            if isinstance(error, InvalidMessage):
                raise ProofRefused(str(error)) from None
            raise

    def _dial(self, address: tuple[str, int], deadline_s: float) -> socket.socket:
        """Connect, and shake hands in TLS.  Raises OSError."""
        peer = _connected(address, max(0.001, deadline_s - time.monotonic()))
        if self._certificates is None:
            peer.settimeout(None)
            return peer
        try:
            peer.settimeout(max(0.001, deadline_s - time.monotonic()))
            return self._certificates.wrap(peer, address[0], self._member)
        except (OSError, InvalidMessage) as error:
            peer.close()
            if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
                raise
            raise ProofRefused(words(error) if isinstance(error, ssl.SSLError) else str(error)) from None

    def _prove(self, peer: socket.socket, secret: ClusterSecret, deadline_s: float) -> tuple[Session | None, bool]:
        """Shake hands; return the session, and whether the connection is still open.

        No session: the peer has no secret, and that is allowed.
        """
        handshake = ClientHandshake(self._keys, secret.claim(), self._member, os.urandom(NONCE_BYTES))
        status, answer, keep_alive = self._step(peer, handshake.challenge, deadline_s)
        if status in (HTTP_BAD_REQUEST, HTTP_NOT_FOUND) and secret.accepts_unsigned:
            secret.note_unsigned(self._member)
            return None, keep_alive
        if status != HTTP_OK:
            raise ProofRefused(NO_SECRET if status == HTTP_BAD_REQUEST else f"its port answers with status {status}")
        status, answer, keep_alive = self._step(peer, handshake.prove(answer), deadline_s)
        if status != HTTP_OK:
            raise ProofRefused(
                REFUSED_PROOF if status == HTTP_UNAUTHORIZED else f"its port answers with status {status}"
            )
        session = handshake.finish(answer)
        secret.note_signed(self._member)
        return session, keep_alive

    def _step(self, peer: socket.socket, body: bytes, deadline_s: float) -> tuple[int, bytes, bool]:
        self._patience_s, self._on_wait = max(0.001, deadline_s - time.monotonic()), None
        _set_timeout(peer, self._patience_s)
        self._deadline_s = deadline_s
        try:
            return self._post(peer, b"%b%d\r\n\r\n%b" % (self._head, len(body), body), STRANGERS_BYTES_MAX)
        finally:
            self._deadline_s = inf

    def _receive(self, peer: socket.socket, bytes_max: int) -> tuple[int, bytes, bool]:
        """Receive an answer: its status, its body of at most `bytes_max`, and whether the connection stays open."""
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            if len(received) > HEAD_BYTES_MAX:
                raise InvalidMessage("an answer with a head that does not end")
            received += self._receive_some(peer, RECV_BYTES)
        status, length, keep_alive = _parse_head(received[:end])
        if length > bytes_max:
            raise InvalidMessage(f"an answer of {length} bytes to a handshake")
        chunks, missing = [received[end + 4 :]], length - (len(received) - end - 4)
        while missing > 0:
            chunks.append(self._receive_some(peer, BODY_RECV_BYTES))
            missing -= len(chunks[-1])
            self._progress_s = time.monotonic()
        return status, b"".join(chunks)[:length], keep_alive and missing >= 0

    def _receive_some(self, peer: socket.socket, size: int) -> bytes:
        while True:
            try:
                data = peer.recv(size)
            except (BlockingIOError, TimeoutError):
                self._check_progress(peer)
                continue
            if not data:
                raise ConnectionResetError("the peer closed the connection")
            if self._deadline_s < inf and time.monotonic() >= self._deadline_s:
                raise TimeoutError("the handshake took too long")
            return data


def _connected(address: tuple[str, int], timeout_s: float) -> socket.socket:
    try:
        peer = socket.create_connection(address, timeout_s)
    except UnicodeError as error:  # the host name cannot be looked up
        raise ConnectionError(str(error)) from None
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


def _set_timeout(peer: socket.socket, timeout_s: float) -> None:
    if isinstance(peer, ssl.SSLSocket):
        peer.settimeout(timeout_s)  # OpenSSL would read again and again after a time-out of the kernel's
        return
    # In the kernel: Python's own timeout is a poll() before each call, and a turn of the GIL with it.
    timeval = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)


def _unsent(data: bytes, sent: int, *, whole: bool) -> memoryview:
    """Return what to send next: all the rest, or a piece of it."""
    return memoryview(data)[sent:] if whole else memoryview(data)[sent : sent + TLS_PIECE_BYTES]


def _opened(session: Session, status: int, answer: bytes) -> bytes:
    try:
        return session.open_answer(status, answer)
    except UnprovedPeer:
        if status == HTTP_OK:
            raise
        raise ProofRefused(f"its port answers with status {status}, and without a proof") from None


def _unsent_bytes(peer: socket.socket) -> int:
    """Return how many sent bytes have not arrived yet; 0 if the system cannot tell."""
    try:
        return int.from_bytes(fcntl.ioctl(peer.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _is_unusable(peer: socket.socket) -> bool:
    """Return whether an idle connection has ended, or has unexpected bytes: either way it is useless.

    Servers close idle connections.  Finding that out by a call would lose the call, and a request for votes is made
    once in an election timeout.
    """
    if isinstance(peer, ssl.SSLSocket):
        poll = select.poll()
        poll.register(peer, select.POLLIN)
        return bool(poll.poll(0))  # the peer of a call speaks only when it answers
    try:
        peer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


@lru_cache(HEADS_MAX)
def _parse_head(head: bytes) -> tuple[int, int, bool]:
    """Return (status, Content-Length, keep-alive) of an answer's head."""
    status_line, *lines = head.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    try:
        version, status_text = status_line.split(b" ", 2)[:2]
        status, length = int(status_text), int(headers[b"content-length"])
    except (ValueError, KeyError):
        raise InvalidMessage("an answer that is not HTTP with a Content-Length") from None
    if not version.startswith(b"HTTP/1."):
        raise InvalidMessage("an answer that is not HTTP/1.1")
    if not 0 <= length <= BODY_BYTES_MAX:
        raise InvalidMessage(f"an answer of {length} bytes")
    return status, length, headers.get(b"connection", b"").lower() != b"close"


class PeerQueue(Generic[T]):
    """A thread that sends messages to one peer.  `deliver(queue, message)` sends one, and handles the outcome."""

    def __init__(
        self,
        url: str,
        name: str,
        deliver: Callable[["PeerQueue[T]", T], None],
        addresses: Addresses | None = None,
        member: int = 0,
    ) -> None:
        """`addresses` and `member` as for a PeerConnection."""
        self.url = url
        self.connection = PeerConnection(url, addresses, member)
        self._deliver = deliver
        self._waiting: dict[type, T] = {}  # by kind: bounded by how many kinds there are
        self._signal = threading.Lock()  # locked: nothing new
        self._signal.acquire()
        self._closed = False
        self._closing = threading.Event()  # wakes a delivery that pauses
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)  # may hang in connect()
        self._thread.start()

    def send(self, message: T) -> None:
        """Queue a message; never blocks.  For one caller at a time.  Replaces a waiting message of the same kind."""
        self._waiting[type(message)] = message
        self._wake()

    @property
    def is_closed(self) -> bool:
        """Return whether the queue was closed: a delivery of many calls makes no more of them."""
        return self._closed

    def pause(self, seconds: float) -> None:
        """Pause a delivery: for so long, or until the queue is closed."""
        self._closing.wait(seconds)

    def close(self) -> None:
        """Stop, and interrupt a call under way."""
        self._closed = True
        self._closing.set()
        self.connection.close()
        self._wake()

    def _wake(self) -> None:
        if self._signal.locked():
            with contextlib.suppress(RuntimeError):  # `close` and `send` at once: the other one has released it
                self._signal.release()

    def _run(self) -> None:
        while not self._closed:
            self._signal.acquire()
            while self._waiting and not self._closed:
                self._deliver_safely(self._waiting.popitem()[1])
        self.connection.close()

    def _deliver_safely(self, message: T) -> None:
        try:
            self._deliver(self, message)
        except Exception:
            logger.exception("delivering a %s failed", type(message).__name__)
