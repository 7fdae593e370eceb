"""The messages of a node to the service manager that started it."""

import os
import signal
from pathlib import Path
from threading import Event

import pytest

from chat.process.service_manager import VARIABLE, ServiceManager
from tests.deploy.manager import Manager, manager
from tests.support.cluster import Cluster, Forked

# A node that looks often whether its status is another one.
ATTENTIVE = Forked("import chat.process.service_manager; chat.process.service_manager.STATUS_LOOK_S = 0.05")


def teller(listening: Manager) -> ServiceManager:
    return ServiceManager({VARIABLE: listening.address})


def test_a_node_is_ready_as_soon_as_it_listens_and_tells_whom_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that waited for a majority could not be started first: its start would time out."""
    with manager(tmp_path / "notify") as listening, Cluster(tmp_path, 3, command=ATTENTIVE) as cluster:
        monkeypatch.setenv(VARIABLE, listening.address)
        cluster.start(1)
        listening.wait("READY=1")
        assert cluster.request(1, "GET", "/raft").status == 200
        assert "serves no messages yet" in listening.wait("STATUS=Node 1 ")
        monkeypatch.delenv(VARIABLE)
        cluster.start(2, 3)
        listening.wait("Node 1 leads in term", "Node 1 follows node ")
        cluster.wait_ready()
        cluster.nodes[1].signal(signal.SIGHUP)
        listening.wait("RELOADING=1")
        listening.wait("READY=1")
        cluster.kill(2, 3)
        listening.wait("hears no leader")
        cluster.nodes[1].signal(signal.SIGTERM)
        listening.wait("STOPPING=1")
        assert cluster.nodes[1].wait_exit() == 0
        assert listening.said.count("READY=1") == 2  # one after the reload


def test_a_node_that_refuses_to_start_is_never_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with manager(f"@raft-chat-test-{os.getpid()}") as listening, Cluster(tmp_path, 1) as cluster:
        monkeypatch.setenv(VARIABLE, listening.address)
        cluster.nodes[1].start("--id", "2")
        assert cluster.nodes[1].wait_exit() == 1
        assert listening.said == []


def test_an_abstract_socket_is_told_too() -> None:
    with manager(f"@raft-chat-test-{os.getpid()}") as listening:
        teller(listening).ready()
        assert listening.wait("READY") == "READY=1"


def test_a_status_is_one_line_and_told_when_it_changes(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        told = teller(listening)
        for text in ("reads\nits log", "reads its log", "leads " * 100, "end"):
            told.status(text)
        listening.wait("end")
        assert [len(line) for line in listening.said] == [len("STATUS=reads its log"), len("STATUS=") + 200, 10]


def test_a_long_start_asks_for_more_time(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        teller(listening).starting("reading the log: 40 %")
        listening.wait("40 %")
        assert listening.said == ["EXTEND_TIMEOUT_USEC=60000000", "STATUS=reading the log: 40 %"]


def test_a_reload_is_told_with_its_moment(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        told = teller(listening)
        told.ready()
        told.reloading()
        told.reloaded()
        assert int(listening.wait("MONOTONIC_USEC").partition("=")[2]) > 0
        listening.wait("READY=1")
        assert [line for line in listening.said if "USEC" not in line] == ["READY=1", "RELOADING=1", "READY=1"]


def test_a_reload_in_a_start_is_not_told_for_the_start_would_count_as_complete(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        told = teller(listening)
        told.reloading()
        told.reloaded()
        told.status("starting")
        listening.wait("STATUS=starting")
        assert listening.said == ["STATUS=starting"]


def test_without_a_manager_nothing_is_told_and_no_thread_is_started() -> None:
    told = ServiceManager({})
    assert not told.listens
    told.ready()
    told.follow(lambda: pytest.fail("asked"), Event())


def test_a_manager_that_is_gone_or_reads_nothing_does_not_stop_a_node(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as listening:
        told = teller(listening)
        for number in range(2000):  # many times what a socket's buffer holds
            told.status(f"{number}")
    told.ready()


def test_the_variable_is_taken_out_of_the_environment(tmp_path: Path) -> None:
    """A child that inherited it could say that the node is ready."""
    environment = {VARIABLE: str(tmp_path / "notify"), "HOME": "/"}
    ServiceManager(environment)
    assert environment == {"HOME": "/"}
