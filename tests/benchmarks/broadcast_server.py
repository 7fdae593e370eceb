"""The `websockets` library's way to do what our hub does: `python -m tests.benchmarks.broadcast_server PORT`.

Every socket that connects to any path but /say gets what is said there, by the library's own `broadcast`.
"""

import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.asyncio.server import ServerConnection, broadcast, serve

from tests.benchmarks import programs
from tests.support.cluster import READY_S
from tests.support.http_client import HOST
from tests.support.ports import Port
from tests.support.waiting import wait_until
from tests.support.websocket_frames import handshake


@contextmanager
def running(directory: Path) -> Iterator[tuple[int, int, socket.socket]]:
    """Such a server in a process of its own: its port, its process id, and a socket to say things on."""
    port = Port()
    log = directory / "websockets.log"
    try:
        with programs.python("tests.benchmarks.broadcast_server", str(port.number), log=log) as process:
            speaker = wait_until(lambda: socket.create_connection((HOST, port.number)), READY_S, "it listens")
            with speaker:
                speaker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                speaker.sendall(handshake(port.number, path="/say"))
                assert speaker.recv(4096).startswith(b"HTTP/1.1 101 ")
                yield port.number, process.pid, speaker
    finally:
        port.release()


async def main(port: int) -> None:
    listeners: set[ServerConnection] = set()

    async def converse(connection: ServerConnection) -> None:
        if connection.request is not None and connection.request.path == "/say":
            async for message in connection:
                broadcast(listeners, message)
            return
        listeners.add(connection)
        try:
            await connection.wait_closed()
        finally:
            listeners.remove(connection)

    # Our frames are not deflated either: what all get is the same bytes.
    async with serve(converse, HOST, port, compression=None, backlog=1024) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
