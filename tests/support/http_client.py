"""The tests' HTTP client: one kept-alive connection to a node, whose answers are read to their end.

Not here, because they serve something else: `tests/chat/chat_client.py` calls the application without a connection,
`tests/chat/wire.py` sends whatever bytes a test gives it, and the benchmarks measure with plain sockets, so that the
client costs less than the node.
"""

import http.client
import json
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Any

HOST = "127.0.0.1"
ANSWER_S = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class HttpClient:
    """One connection to one port, kept alive from request to request and opened anew after an error."""

    def __init__(
        self,
        port: int,
        timeout_s: float = ANSWER_S,
        host: str = HOST,
        token: str = "",
        address: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`token`: the bearer token of every request, where there is a login; `address`: the client's own address.

        `tls`: what it believes, over TLS.
        """
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        source = (address, 0) if address else None
        self._connection = (
            http.client.HTTPConnection(host, port, timeout=timeout_s, source_address=source)
            if tls is None
            else http.client.HTTPSConnection(host, port, timeout=timeout_s, source_address=source, context=tls)
        )

    def __enter__(self) -> "HttpClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def request(self, method: str, path: str, body: str | bytes | None = None) -> Answer:
        """Send a request and read its answer.  Raises OSError where the connection failed: the outcome is unknown."""
        data = body.encode() if isinstance(body, str) else body
        try:
            self._connection.request(method, path, data, self._headers)
            response = self._connection.getresponse()
            return Answer(response.status, response.msg, response.read())
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            raise OSError(f"{method} {path}: {error!r}") from error

    def post(self, room: str, message: str, user: str = "ann", client_id: str | None = None) -> Answer:
        """Post a message as this user."""
        fields = {"Message": message, "User": user} | ({"ClientId": client_id} if client_id else {})
        return self.request("POST", f"/rooms/{room}", json.dumps(fields))


def request(
    port: int,
    method: str,
    path: str,
    body: str | bytes | None = None,
    timeout_s: float = ANSWER_S,
    host: str = HOST,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request on a connection of its own."""
    with HttpClient(port, timeout_s, host, tls=tls) as client:
        return client.request(method, path, body)
