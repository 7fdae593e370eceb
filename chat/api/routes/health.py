"""`/livez` and `/readyz`: health checks for proxies and supervisors, as text.

Anybody may ask, at any time: both answer before this node takes part in its cluster, without sign-in, at once, and no
rate limits them.  So they tell nothing but the checks.
"""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Response
from chat.api.router import Access, Answer, Route
from chat.api.schemas import TEXT
from chat.server import failure_log

PLAIN = "text/plain; charset=utf-8"
_HEADERS = [("Cache-Control", "no-store")]


def live(request: Request) -> Response:
    """GET /livez: the answer itself is the proof.  A thread of the engine that fails ends the process."""
    return Response(HTTPStatus.OK, b"ok\n", PLAIN, _HEADERS)


def ready(request: Request) -> Response:
    """GET /readyz[?verbose]: 200 if this node can serve clients now; else 503 and all checks, one a line."""
    draining = "this node is stopping" if request.services.is_draining() else ""
    checks = [("draining", draining), *request.replica.readiness()]
    failed = [f"{name} failed: {why}" for name, why in checks if why]
    if not failed and request.query().text("verbose") is None:
        return Response(HTTPStatus.OK, b"ok\n", PLAIN, _HEADERS)
    lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in checks]
    lines.append("readyz check failed" if failed else "readyz check passed")
    status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
    failure_log.answered(status, "not_ready", "; ".join(failed))
    return Response(status, "".join(f"{line}\n" for line in lines).encode(), PLAIN, _HEADERS)


_READY = {
    200: Answer("Ready", content_type=PLAIN),
    503: Answer("Not ready: all checks, one a line", content_type=PLAIN),
}

ROUTES = (
    Route(
        "GET", "/livez", live, Access.ANYBODY, "Check that the process works",
        waits=False, answers={200: Answer("It works", content_type=PLAIN)},
    ),
    Route(
        "GET", "/readyz", ready, Access.ANYBODY, "Check that this node can serve clients now",
        waits=False, answers=_READY, query={"verbose": TEXT},
    ),
)  # fmt: skip
