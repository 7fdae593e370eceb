"""A bit of everything that is measured: posts, reads, errors of clients, and websockets that come and go."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count

from tests.support.http_client import HttpClient
from tests.support.websocket_client import WebSocketClient

Place = tuple[str, int]  # host and port of a node

PAUSE_S = 0.02


@contextmanager
def traffic(places: Sequence[Place], *, websockets: bool = True) -> Iterator[None]:
    """Use every node in turn while the block runs; a node that does not answer is left out."""
    stopping = threading.Event()
    with running([threading.Thread(target=_use, args=(place, stopping, websockets)) for place in places], stopping):
        yield


@contextmanager
def running(threads: Sequence[threading.Thread], stopping: threading.Event) -> Iterator[None]:
    """Run threads beside the block, until `stopping` tells them to end."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _use(place: Place, stopping: threading.Event, websockets: bool) -> None:
    host, port = place
    while not stopping.is_set():
        with suppress(OSError), HttpClient(port, 1.0, host) as client:
            for number in count():
                if stopping.wait(PAUSE_S):
                    return
                client.post("general", f"hello {number}")
                client.request("GET", "/rooms/general?limit=10")
                client.request("GET", "/no/such/thing")
                if websockets and number % 10 == 0:
                    _listen(place)
        stopping.wait(PAUSE_S)


def _listen(place: Place) -> None:
    host, port = place
    with suppress(OSError), WebSocketClient(port, host=host) as client:
        client.subscribe()
