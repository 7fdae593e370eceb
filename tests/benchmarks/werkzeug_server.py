"""Werkzeug's threaded server as it comes, with a constant answer: `python -m tests.benchmarks.werkzeug_server PORT`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug import Request, Response
from werkzeug.serving import make_server

from tests.benchmarks import programs
from tests.support.cluster import READY_S
from tests.support.http_client import HOST, request
from tests.support.ports import Port
from tests.support.waiting import wait_until

ANSWER = b'{"Id":1,"User":"ann","Message":"The quick brown fox jumps over the lazy dog"}'


@Request.application
def application(request: Request) -> Response:
    return Response(ANSWER, 201, content_type="application/json")


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """The URL of such a server, in a process of its own."""
    port = Port()
    try:
        with programs.python("tests.benchmarks.werkzeug_server", str(port.number), log=directory / "werkzeug.log"):
            wait_until(lambda: request(port.number, "GET", "/").status == 201, READY_S, "Werkzeug answers")
            yield f"http://{HOST}:{port.number}/"
    finally:
        port.release()


if __name__ == "__main__":
    make_server(HOST, int(sys.argv[1]), application, threaded=True).serve_forever()
