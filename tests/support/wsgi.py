"""A WSGI server without sockets, for Werkzeug's test client: what `chat/server` offers an application."""

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any

Headers = list[tuple[str, str]]
WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

DEADLINE_S = 40.0  # past every deadline of the application's


class DeferredResponse:
    """The response that the application promised; the caller of the application waits for it."""

    def __init__(self) -> None:
        self._sent: SimpleQueue[tuple[int, Headers, bytes]] = SimpleQueue()

    def send(self, status: int, headers: Headers, body: bytes) -> None:
        self._sent.put((status, headers, body))

    def wait(self) -> tuple[int, Headers, bytes]:
        return self._sent.get(timeout=DEADLINE_S)


def deferring(app: WsgiApp) -> WsgiApp:
    """The application on a server that defers: a deferred answer is returned once it is sent."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        promised = DeferredResponse()
        offered = {"raft_chat.connection": {}, "raft_chat.defer": lambda: promised, "raft_chat.off_cpu": nullcontext}
        result: object = app(offered | environ, start_response)
        if result is not promised:
            return result  # type: ignore[return-value]
        status, headers, body = promised.wait()
        length = [] if status == HTTPStatus.NO_CONTENT else [("Content-Length", str(len(body)))]
        start_response(f"{status} {HTTPStatus(status).phrase}", headers + length)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    return serve
