"""`/metrics`: the numbers of this node, for Prometheus.

They tell how busy the chat is, so not everybody may read them: a program on this machine, an admin, the operator, and
whoever has the metrics token.  A request that a proxy forwards comes from elsewhere, wherever the proxy runs.
"""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Environ, Response
from chat.api.router import Access, Answer, Route
from chat.metrics.exposition import CONTENT_TYPE

_FORWARDED = (
    "HTTP_FORWARDED", "HTTP_VIA", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST", "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_REAL_IP",
)  # fmt: skip
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def show(request: Request) -> Response:
    """GET /metrics.  Raises Problem (401, 403)."""
    if not is_local(request.environ):
        request.services.authenticator.check_scraper(request.environ)
    with request.off_cpu():  # the disk is asked for its room
        member = request.replica.metrics()
    body = request.services.metrics.page(member)
    return Response(HTTPStatus.OK, body, CONTENT_TYPE, [("Cache-Control", "no-store")])


def is_local(environ: Environ) -> bool:
    """Return whether the request comes from a program on this machine: neither from a proxy nor from a web page.

    A page's host name may lead here (DNS rebinding), so the name in `Host` has to be this machine's.
    """
    if not environ.get("raft_chat.from_this_machine") or any(name in environ for name in _FORWARDED):
        return False
    host = environ.get("HTTP_HOST", "").lower()
    return host in _LOCAL_HOSTS or host.rpartition(":")[0] in _LOCAL_HOSTS


ROUTES = (
    Route(
        "GET", "/metrics", show, Access.SCRAPER, "Show the numbers of this node, for Prometheus",
        answers={200: Answer("The text format of Prometheus", content_type=CONTENT_TYPE)},
    ),
)  # fmt: skip
