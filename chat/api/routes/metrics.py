"""`/metrics`: the numbers of this node, for Prometheus.

They tell how busy the chat is, so not everybody may read them: a program on this machine, an admin, the operator, and
whoever has the metrics token.  A request that a proxy forwards comes from elsewhere, wherever the proxy runs.
"""

from http import HTTPStatus

from chat.api.request import Request
from chat.api.response import Response
from chat.api.router import Access, Answer, Route
from chat.auth.this_machine import is_local
from chat.metrics.exposition import CONTENT_TYPE


def show(request: Request) -> Response:
    """GET /metrics.  Raises Problem (401, 403)."""
    if not is_local(request.environ):
        request.services.authenticator.check_scraper(request.environ)
    with request.off_cpu():  # the disk is asked for its room
        member = request.replica.metrics()
    body = request.services.metrics.page(member)
    return Response(HTTPStatus.OK, body, CONTENT_TYPE, [("Cache-Control", "no-store")])


ROUTES = (
    Route(
        "GET", "/metrics", show, Access.SCRAPER, "Show the numbers of this node, for Prometheus",
        answers={200: Answer("The text format of Prometheus", content_type=CONTENT_TYPE)},
    ),
)  # fmt: skip
