"""Nodes that compact their logs soon, and what fills them: `Cluster(directory, command=SOON, flags=SMALL)`.

A compaction keeps KEPT_ENTRIES instead of ten thousand, and does not wait for a member that was not heard for a second.
The process that rewrites a log has no low priority: beside tests that keep all cores busy it would hardly get on.
"""

import json
import socket
from collections.abc import Sequence
from threading import Thread

from tests.support.cluster import Forked, NodeProcess
from tests.support.http_client import HOST

SMALL = ("--compact-mib", "1")
COMPACT_S = 60
KEPT_ENTRIES = 500
MARK_ENTRIES = 100  # between two notes of what is live: where a compaction may end
FILLERS = 8
PIPELINED = 50  # requests that are on their way at a time

_REWRITE = (
    "import sys, raft_chat; from raft.compaction import child_process; child_process.NICENESS = 0; "
    "sys.exit(raft_chat.main())"
)
AT_ONCE = f"""
import sys
import raft_chat_node
class Rewriter(raft_chat_node.ChildRewriter):
    def __init__(self, command, data_dir):
        super().__init__([sys.executable, "-c", {_REWRITE!r}, raft_chat_node.REWRITE], data_dir)
raft_chat_node.ChildRewriter = Rewriter
"""


def soon(kept_entries: int) -> Forked:
    """A program whose compactions keep so many entries."""
    return Forked(f"""{AT_ONCE}
from raft.compaction import policy
policy.KEEP_ENTRIES, policy.MARK_ENTRIES, policy.CONTACT_MS = {kept_entries}, {MARK_ENTRIES}, 1_000
""")


SOON = soon(KEPT_ENTRIES)


def fill(node: NodeProcess, count: int, rooms: Sequence[str], text: str = "x" * 200) -> None:
    """Post so many, over connections that do not wait for each answer."""
    threads = [
        Thread(target=_pipeline, args=(node.port, count // FILLERS, rooms[n % len(rooms)], text), name=f"filler{n}")
        for n in range(FILLERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _pipeline(port: int, count: int, room: str, text: str) -> None:
    body = json.dumps({"Message": text, "User": "filler"}).encode()
    head = f"POST /rooms/{room} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection((HOST, port), timeout=30) as connection, connection.makefile("rb") as answers:
        for start in range(0, count, PIPELINED):
            some = min(PIPELINED, count - start)
            connection.sendall((head + body) * some)
            for _ in range(some):
                assert answers.readline().startswith(b"HTTP/1.1 201 ")
                length = 0
                while (line := answers.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers.read(length)
