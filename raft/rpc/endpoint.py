"""The WSGI application that peers call: one path, one POST a message.

The endpoint decodes, checks that the sender belongs to this cluster, hands the call on and encodes the answer.  Errors
are JSON: 400 not an RPC, 403 a sender that is refused, 410 a sender that was removed, 503 this member does not run yet.
With any of these nothing was done.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from raft.errors import InvalidMessage, RefusedPeer
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.codec import Answer, Call, decode_call, encode
from raft.rpc.peer_client import BODY_BYTES_MAX, RPC_PATH

_STATUS = {"removed": "410 Gone", "not_ready": "503 Service Unavailable"}


class Engine(Protocol):
    """The driver, as the endpoint sees it."""

    def sender(self) -> Sender: ...
    def hello(self) -> HelloReply: ...
    def admit(self, sender: Sender, target: int) -> None: ...
    def serve(self, call: Call, done: Callable[[Answer], None]) -> None: ...


class Endpoint:
    """Serves peers.  Before `engine` is set, only Hello is answered, by `hello`."""

    def __init__(self, sender: Callable[[], Sender], hello: Callable[[], HelloReply]) -> None:
        self.engine: Engine | None = None
        self._sender = sender
        self._hello = hello
        self._requests = itertools.count(1)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve WSGI (PEP 3333); the engine's answers are deferred (`raft_chat.defer`, see chat/server/server.py)."""
        if environ.get("PATH_INFO") != RPC_PATH:
            return _refuse(start_response, "404 Not Found", "not_found", f"peers speak at {RPC_PATH} only")
        if environ.get("REQUEST_METHOD") != "POST":
            return _refuse(start_response, "405 Method Not Allowed", "method", "peers POST", [("Allow", "POST")])
        try:
            return self._answer(environ, start_response, _read_body(environ))
        except InvalidMessage as invalid:
            return _refuse(start_response, "400 Bad Request", "invalid", str(invalid))
        except RefusedPeer as refused:
            status = _STATUS.get(refused.code, "403 Forbidden")
            return _refuse(start_response, status, refused.code, str(refused), cluster_id=self._own_sender().cluster_id)

    def _own_sender(self) -> Sender:
        return self.engine.sender() if self.engine else self._sender()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any], body: bytes) -> Iterable[bytes]:
        sender, call = decode_call(body, next(self._requests))
        if isinstance(call, Hello):
            hello = self.engine.hello() if self.engine else self._hello()
            return _respond(start_response, encode(self._own_sender(), hello))
        engine = self.engine
        if engine is None:
            raise RefusedPeer("not_ready", "this member belongs to no cluster yet")
        engine.admit(sender, call.target)
        deferred = environ["raft_chat.defer"]()
        headers = [("Content-Type", "application/json")]
        engine.serve(call, lambda answer: deferred.send(200, headers, encode(engine.sender(), answer)))
        return deferred  # type: ignore[no-any-return]


def _read_body(environ: dict[str, Any]) -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise InvalidMessage("Content-Length: not a number") from None
    if not 0 <= length <= BODY_BYTES_MAX:
        raise InvalidMessage(f"Content-Length: more than {BODY_BYTES_MAX}")
    body: bytes = environ["wsgi.input"].read(length) if length else environ["wsgi.input"].read(BODY_BYTES_MAX)
    return body


def _respond(start_response: Callable[..., Any], body: bytes) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def _refuse(
    start_response: Callable[..., Any],
    status: str,
    code: str,
    detail: str,
    headers: list[tuple[str, str]] | None = None,
    cluster_id: str = "",
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
    kinds = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(status, kinds + (headers or []))
    return [body]
