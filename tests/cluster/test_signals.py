"""Signals that come to a node while it starts, and those that do not end it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from tests.cluster import signals
from tests.faults.tools import need
from tests.support.cluster import Cluster
from tests.support.secrets import secret_file
from tests.support.waiting import wait_until


def test_a_hangup_is_logged_and_the_node_goes_on_until_it_is_terminated(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster:
        cluster.start_ready()
        cluster.nodes[1].signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP is ignored" in cluster.nodes[1].log(), 5, "it is logged")
        assert cluster.nodes[1].status()["Leader"] == 1
        cluster.nodes[1].signal(signal.SIGTERM)
        assert cluster.nodes[1].wait_exit() == 0


def test_a_node_whose_reload_hangs_in_a_file_is_terminated(tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    with Cluster(tmp_path, size=1) as cluster:
        node = cluster.nodes[1]
        node.start(*node.flags(cluster.url_list, "--cluster-secret-file", str(path)))
        cluster.wait_ready()
        path.unlink()
        os.mkfifo(path, 0o600)
        node.signal(signal.SIGHUP)
        with read_by_the_node(path):  # it waits for what is never written
            node.signal(signal.SIGTERM)
            assert node.wait_exit() == 0


@contextmanager
def read_by_the_node(pipe: Path) -> Iterator[None]:
    """Open the pipe, once it is being read."""
    opened: list[int] = []

    def is_read() -> bool:
        with suppress(OSError):  # ENXIO: nobody reads it
            opened.append(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        return bool(opened)

    wait_until(is_read, 5, "the node reads the pipe")
    try:
        yield
    finally:
        os.close(opened[0])


def test_every_request_in_flight_is_answered_when_a_node_without_a_majority_gets_signals_to_stop_at_once(
    tmp_path: Path,
) -> None:
    seen = signals.without_majority(tmp_path, leads=True, told=signals.STOPS)
    assert seen.wrong == []
    assert seen.answers.total() == len(signals.WAITING)
    assert seen.codes == {0: 1}


def test_a_node_that_is_pid_1_ends_with_0_when_it_is_terminated_before_it_has_started(tmp_path: Path) -> None:
    need(("unshare",))
    seen = signals.Seen()
    with Cluster(tmp_path, 1) as cluster:
        process, pid = signals.started(cluster, as_pid_1=True)
        assert cluster.nodes[1].log() == ""
        os.kill(pid, signal.SIGTERM)
        signals.ended(seen, process, monotonic())
    assert seen.wrong == []
    assert seen.codes == {0: 1}


def test_a_node_that_is_terminated_twice_ends_at_once(tmp_path: Path) -> None:
    seen = signals.without_majority(tmp_path, leads=False, twice=True)
    assert seen.wrong == []
    assert seen.codes == {1: 1}
