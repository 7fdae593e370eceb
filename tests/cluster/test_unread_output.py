"""A node whose stderr and stdout nobody reads: it serves, says what was lost, and ends."""

import fcntl
import os
import re
import select
import subprocess
from io import FileIO
from pathlib import Path

from tests.support.cluster import Cluster, Forked, NodeProcess, environment
from tests.support.waiting import wait_until

PIPE_BYTES = 4096  # the smallest pipe there is
LINES_MAX = 8
SETUP = (
    "import chat.logs.line_queue, chat.logs.stderr_log; "
    f"chat.logs.stderr_log.LINES_MAX = {LINES_MAX}; chat.logs.line_queue.CLOSE_S = 0.1"
)
FEW = Forked(SETUP)
POSTS = 40
DEADLINE_S = 10.0


def test_a_node_whose_output_nobody_reads_serves_and_says_what_was_lost_and_ends_with_0(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    with Cluster(tmp_path, size=1) as cluster, FileIO(reader) as output:
        node = cluster.nodes[1]
        flags = node.flags(cluster.url_list, "--access-log", "--log-format", "json")
        # An interpreter of its own: a forked one takes its output for a file.
        node.process = subprocess.Popen(
            [*FEW.command(), *flags],
            stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, cwd=tmp_path, env=environment(),
        )  # fmt: skip
        os.close(writer)
        cluster.wait_ready()
        for _ in range(POSTS):
            assert node.request("GET", "/rooms/general/messages/9").status == 404  # each has a line on stderr, too
        assert cluster.post(1, "general", "served").status == 201
        assert lost(node) > 0, "nobody reads, and no line was lost"
        read = bytearray()
        wait_until(lambda: b"this log lost" in read_on(output, read), DEADLINE_S, "what was lost is told")
        for _ in range(POSTS):
            assert node.request("GET", "/rooms/general/messages/9").status == 404
        assert cluster.terminate(1) == 0


def read_on(output: FileIO, read: bytearray) -> bytearray:
    """All that was read, and what is there now."""
    while select.select([output], [], [], 0)[0]:
        read += output.read(PIPE_BYTES)
    return read


def lost(node: NodeProcess) -> int:
    text = node.request("GET", "/metrics").body.decode()
    found = re.search(r'^output_lines_lost_total\{stream="stderr"\} (\d+)$', text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])
