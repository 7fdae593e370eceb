"""A start that would do harm is refused with exit code 1 and one line on stderr that says what to do."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from raft.core.entries import seal
from tests.cluster.writers import read_room
from tests.faults.tools import need
from tests.support.cluster import COMMAND, Cluster, NodeProcess, refused_start
from tests.support.http_client import HOST

NOBODY, SOMEBODY = 65534, 12345  # user ids that nothing else here has
# Reads whatever root reads, the interpreter below a home directory say, and is another user all the same.
AS_NOBODY = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
             "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search", "--")  # fmt: skip


@contextmanager
def listening(port: int) -> Iterator[None]:
    """Somebody else has the port."""
    with closing(socket.socket()) as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind((HOST, port))
        somebody.listen()
        yield


def test_a_second_process_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster, closing(NodeProcess(2, tmp_path)) as second:
        first = cluster.start_ready().nodes[1]
        second.data_dir = first.data_dir
        flags = ("--id", "1", "--cluster", second.peer_url, "--port", str(second.port))
        line = refused_start(second, *flags, "--data-dir", str(first.data_dir))
        assert str(first.data_dir) in line
        assert cluster.post(1, "general", "undisturbed").status == 201


@pytest.mark.parametrize("which", ["port", "peer_port"])
def test_a_taken_port_is_refused(tmp_path: Path, which: str) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        taken = node.port if which == "port" else node.peer_port
        with listening(taken):
            assert str(taken) in refused_start(node, *node.flags(cluster.url_list))
        cluster.start_ready()


@pytest.mark.parametrize("id", ["0", "4", "-1", "one", ""])
def test_an_id_that_the_list_does_not_have_is_refused(tmp_path: Path, id: str) -> None:
    with Cluster(tmp_path) as cluster:
        node = cluster.nodes[1]
        flags = ("--id", id, "--cluster", cluster.url_list, "--port", str(node.port), "--data-dir", str(node.data_dir))
        assert "id" in refused_start(node, *flags)
        assert not node.data_dir.exists()


def test_another_members_data_directory_is_refused(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        cluster.kill(1, 2)
        one, two = cluster.nodes[1], cluster.nodes[2]
        one.data_dir = two.data_dir
        line = refused_start(one, *one.flags(cluster.url_list))
        assert str(two.data_dir) in line


def test_a_log_with_a_flipped_bit_is_refused_with_file_and_offset(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.start_ready().nodes[1]
        for number in range(20):
            assert cluster.post(1, "general", f"message {number}").status == 201
        assert cluster.terminate(1) == 0
        (segment,) = node.data_dir.glob("log-*.jsonl")
        content = bytearray(segment.read_bytes())
        damaged = content.index(b"message 7")
        content[damaged] ^= 1
        segment.write_bytes(content)

        line = refused_start(node, *node.flags(cluster.url_list))
        record = content.rindex(b"\n", 0, damaged) + 1
        assert str(segment) in line
        assert f"byte {record}" in line

        content[damaged] ^= 1
        segment.write_bytes(content)
        cluster.restart(1)
        assert [post["Message"] for post in read_room(node.port, "general")] == [f"message {n}" for n in range(20)]


def test_a_log_whose_members_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Its checksums are right: another version wrote it."""
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.start_ready().nodes[1]
        assert cluster.terminate(1) == 0
        (segment,) = node.data_dir.glob("log-*.jsonl")
        lines = segment.read_bytes().splitlines(keepends=True)
        changed = [seal(line[9:-1].replace(b'"voting":true', b'"voting":"es"')) for line in lines]
        assert lines != changed
        segment.write_bytes(b"".join(changed))
        line = refused_start(node, *node.flags(cluster.url_list))
        assert str(node.data_dir) in line
        assert "a configuration with a voting that is missing or not of its type" in line


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_a_data_directory_that_every_user_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        node.data_dir.mkdir()
        node.data_dir.chmod(mode)
        line = refused_start(node, *node.flags(cluster.url_list))
        assert f"every user may write data directory {node.data_dir}: chmod go-w {node.data_dir}" in line
        assert not any(node.data_dir.iterdir())
        node.data_dir.chmod(mode & ~0o022)
        cluster.restart(1)


def test_a_data_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    need(AS_NOBODY[:1])
    with Cluster(tmp_path, 1, command=(*AS_NOBODY, *COMMAND)) as cluster:
        node = cluster.nodes[1]
        node.data_dir.mkdir(mode=0o755)
        os.chown(node.data_dir, SOMEBODY, SOMEBODY)
        line = refused_start(node, *node.flags(cluster.url_list))
        assert f"data directory {node.data_dir} belongs to user {SOMEBODY}, and this node runs as user {NOBODY}" in line
        assert not any(node.data_dir.iterdir())
        os.chown(node.data_dir, NOBODY, NOBODY)
        cluster.restart(1)


@pytest.mark.parametrize(
    "flags",
    [
        ("--no-such-flag",),
        ("--port", "65536"),
        ("--port", "http"),
        ("--cluster", "127.0.0.1:12379"),
        ("--cluster", "ftp://127.0.0.1:12379"),
        ("--cluster", ""),
        ("--election-timeout-ms", "0"),
        ("--heartbeat-ms", "-5"),
        ("--heartbeat-ms", "400", "--election-timeout-ms", "300"),
        ("--log-level", "loud"),
    ],
)
def test_a_flag_without_sense_is_refused(tmp_path: Path, flags: tuple[str, ...]) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        assert flags[0] in refused_start(node, *node.flags(cluster.url_list), *flags)
        assert not node.data_dir.exists()
