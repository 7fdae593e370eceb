"""The WSGI application that peers call: one path, one POST a message.

The endpoint decodes, checks that the sender belongs to this cluster, hands the call on and encodes the answer.  Errors
are JSON: 400 not an RPC, 401 a peer that has not proved the cluster's secret, 403 a sender that is refused, 410 a
sender that was removed, 503 this member does not run yet.
With any of these nothing was done.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol

from raft.core.raft_messages import AppendEntries
from raft.errors import InvalidMessage, RefusedPeer, UnprovedPeer
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.codec import Answer, Call, decode_call, encode
from raft.rpc.handshake import Session
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import BODY_BYTES_MAX, RPC_PATH, UNPROVED
from raft.rpc.proved_calls import Opened, ProvedCalls, RefusalLog, Seal

StartResponse = Callable[..., Any]

REQUIRES_SECRET = "this member requires the cluster's secret: start both with the same --cluster-secret-file"
_STATUS = {"removed": "410 Gone", "not_ready": "503 Service Unavailable"}


class Engine(Protocol):
    """The driver, as the endpoint sees it."""

    def sender(self) -> Sender: ...
    def hello(self) -> HelloReply: ...
    def admit(self, sender: Sender, target: int) -> None: ...
    def serve(self, call: Call, done: Callable[[Answer], None]) -> None: ...
    def connection_ended(self, member: int) -> None: ...


class Endpoint:
    """Serves peers.  Before `engine` is set, only Hello is answered, by `hello`."""

    def __init__(
        self,
        sender: Callable[[], Sender],
        hello: Callable[[], HelloReply],
        secret: ClusterSecret | None = None,
        certificates: PeerCertificates | None = None,
        on_proved: Callable[[dict[str, Any]], None] = lambda environ: None,
    ) -> None:
        """`secret`: peers have to prove that they have it.  `certificates`: a caller's has to be that of its member.

        With neither whoever reaches this port is believed.  `on_proved(environ)` is called once a connection's peer has
        proved the secret, or shown the certificate of its member.
        """
        self._on_proved = on_proved
        self.engine: Engine | None = None
        self._sender = sender
        self._hello = hello
        self._requests = itertools.count(1)
        self._proved_calls = None if secret is None else ProvedCalls(secret)
        self._certificates = certificates
        self._refusals = RefusalLog()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve WSGI (PEP 3333); the engine's answers are deferred (`raft_chat.defer`, see chat/server/server.py)."""
        if self._proved_calls is not None:
            return self._serve_proved(environ, start_response, self._proved_calls)
        if environ.get("PATH_INFO") != RPC_PATH:
            return _refuse(start_response, "404 Not Found", "not_found", f"peers speak at {RPC_PATH} only")
        if environ.get("REQUEST_METHOD") != "POST":
            return _refuse(start_response, "405 Method Not Allowed", "method", "peers POST", [("Allow", "POST")])
        try:
            body = _read_body(environ)
        except InvalidMessage as invalid:
            return _refuse(start_response, "400 Bad Request", "invalid", str(invalid))
        return self._serve(environ, start_response, body, None)

    def own_sender(self) -> Sender:
        """Return this member's description for calls and answers."""
        return self.engine.sender() if self.engine else self._sender()

    def _serve_proved(
        self, environ: dict[str, Any], start_response: StartResponse, calls: ProvedCalls
    ) -> Iterable[bytes]:
        """Serve a call of a peer that has proved the cluster's secret.  A stranger gets the same refusal for anything.

        That is true of a wrong path or method too.
        """
        connection = environ["raft_chat.connection"]
        try:
            if environ.get("PATH_INFO") != RPC_PATH or environ.get("REQUEST_METHOD") != "POST":
                raise UnprovedPeer("asks for something that is no call of a peer")
            opened = calls.open(connection, _read_body(environ))
        except InvalidMessage as unproved:
            connection.clear()
            self._note_refusal(environ, unproved)
            return _refuse(start_response, "401 Unauthorized", UNPROVED, REQUIRES_SECRET, [("Connection", "close")])
        if opened.reply:
            if opened.session is not None:
                self._on_proved(environ)
            return _respond(start_response, opened.reply)
        if opened.is_retired:
            connection.clear()
            return _refuse(
                start_response,
                "401 Unauthorized",
                UNPROVED,
                "the key of this connection was replaced",
                [("Connection", "close")],
                seal=opened.seal,
            )
        return self._serve(environ, start_response, opened.body, opened)

    def _serve(
        self, environ: dict[str, Any], start_response: StartResponse, body: bytes, opened: Opened | None
    ) -> Iterable[bytes]:
        seal = None if opened is None else opened.seal
        session = None if opened is None else opened.session
        try:
            return self._answer(environ, start_response, body, session, seal)
        except UnprovedPeer as unproved:
            self._note_refusal(environ, unproved)
            return _refuse(start_response, "403 Forbidden", UNPROVED, str(unproved), seal=seal)
        except InvalidMessage as invalid:
            return _refuse(start_response, "400 Bad Request", "invalid", str(invalid), seal=seal)
        except RefusedPeer as refused:
            status = _STATUS.get(refused.code, "403 Forbidden")
            cluster_id = self.own_sender().cluster_id
            return _refuse(start_response, status, refused.code, str(refused), cluster_id=cluster_id, seal=seal)

    def _answer(
        self,
        environ: dict[str, Any],
        start_response: StartResponse,
        body: bytes,
        session: Session | None,
        seal: Seal | None,
    ) -> Iterable[bytes]:
        sender, call = decode_call(body, next(self._requests), session)
        if self._certificates is not None:
            self._check_certificate(self._certificates, environ, sender)
        if isinstance(call, Hello):
            hello = self.engine.hello() if self.engine else self._hello()
            return _respond(start_response, encode(self.own_sender(), hello), seal)
        engine = self.engine
        if engine is None:
            raise RefusedPeer("not_ready", "this member belongs to no cluster yet")
        engine.admit(sender, call.target)
        if isinstance(call, AppendEntries) and "on_end" not in environ["raft_chat.connection"]:
            environ["raft_chat.connection"]["on_end"] = partial(engine.connection_ended, sender.id)
        deferred = environ["raft_chat.defer"]()
        headers = [("Content-Type", "application/json")]

        def done(answer: Answer) -> None:
            encoded = encode(engine.sender(), answer)
            deferred.send(200, headers, encoded if seal is None else seal(200, encoded))

        engine.serve(call, done)
        return deferred  # type: ignore[no-any-return]

    def _check_certificate(self, certificates: PeerCertificates, environ: dict[str, Any], sender: Sender) -> None:
        """Check the certificate of the connection at the first call of each description.  Raises UnprovedPeer."""
        connection = environ["raft_chat.connection"]
        if connection.get("certified") is not sender:
            certificates.check_caller(environ["raft_chat.peer_cert"], sender)
            connection["certified"] = sender
            self._on_proved(environ)

    def _note_refusal(self, environ: dict[str, Any], why: Exception) -> None:
        self._refusals.note(environ.get("REMOTE_ADDR", ""), str(why))


def _read_body(environ: dict[str, Any]) -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise InvalidMessage("Content-Length: not a number") from None
    if not 0 <= length <= BODY_BYTES_MAX:
        raise InvalidMessage(f"Content-Length: more than {BODY_BYTES_MAX}")
    body: bytes = environ["wsgi.input"].read(length) if length else environ["wsgi.input"].read(BODY_BYTES_MAX)
    return body


def _respond(start_response: StartResponse, body: bytes, seal: Seal | None = None) -> list[bytes]:
    if seal is not None:
        body = seal(200, body)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _refuse(
    start_response: StartResponse,
    status: str,
    code: str,
    detail: str,
    headers: list[tuple[str, str]] | None = None,
    cluster_id: str = "",
    seal: Seal | None = None,
) -> list[bytes]:
    problem = {
        "type": "about:blank",
        "title": status[4:],
        "status": int(status[:3]),
        "code": code,
        "detail": detail,
        "cluster_id": cluster_id,
    }
    body = json.dumps(problem).encode()
    if seal is not None:
        body = seal(int(status[:3]), body)
    kinds = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(status, kinds + (headers or []))
    return [body]
