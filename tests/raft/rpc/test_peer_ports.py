"""A node listens where its command line and the membership say, whichever of them says it first."""

import errno
import logging
import socket
import threading
from collections.abc import Callable

import pytest

from raft.errors import StartRefused
from raft.rpc.peer_ports import Address, PeerPorts
from tests.support.waiting import wait_until

OLD, NEW = "http://127.0.0.1:7001", "http://127.0.0.1:7002"
AT_OLD, AT_NEW = ("127.0.0.1", 7001), ("127.0.0.1", 7002)


class Machine:
    """Addresses that can be listened at, or not."""

    def __init__(self) -> None:
        self.open: dict[Address, Callable[[], None]] = {}  # with what is to be called at each call
        self.started: set[Address] = set()
        self.errors: dict[Address, int] = {}

    def listen(self, host: str, port: int, on_call: Callable[[], None]) -> "FakeListener":
        if (host, port) in self.errors:
            raise OSError(self.errors[host, port], "refused by this test")
        assert (host, port) not in self.open
        self.open[host, port] = on_call
        return FakeListener(self, (host, port))


class FakeListener:
    def __init__(self, machine: Machine, address: Address) -> None:
        self._machine = machine
        self._address = address

    def start(self) -> None:
        self._machine.started.add(self._address)

    def drain(self, deadline_s: float) -> None:
        del self._machine.open[self._address]


def opened(machine: Machine, given: str, stored: str = "", *, host: str = "", port: int = 0) -> PeerPorts:
    ports = PeerPorts(machine.listen, given, host=host, port=port)
    ports.open(stored)
    return ports


def test_a_node_that_was_started_at_a_new_url_listens_at_the_old_one_too_until_it_is_called_at_the_new_one() -> None:
    machine = Machine()
    ports = opened(machine, NEW, OLD)
    ports.peer_urls = lambda: [OLD]
    machine.open[AT_NEW]()
    ports.follow()
    assert set(machine.open) == {AT_OLD, AT_NEW}
    ports.peer_urls = lambda: [NEW]
    ports.follow()
    assert set(machine.open) == {AT_NEW}


@pytest.mark.parametrize("moved", ["http://192.0.2.1:7002", "http://0.0.0.0:7002", "http://[::]:7002"])
def test_the_membership_opens_no_port_to_other_machines_on_a_node_that_asks_for_no_proof(
    moved: str, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine()
    ports = PeerPorts(machine.listen, OLD, is_guarded=False)
    ports.open(moved)
    ports.peer_urls = lambda: [moved]
    ports.follow()
    assert set(machine.open) == {AT_OLD}
    assert "other machines reach it; pass --cluster-secret-file" in caplog.text


def test_a_local_name_that_resolves_to_an_address_of_the_network_is_no_way_around_the_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 7001))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(StartRefused, match="--cluster-secret-file"):
        PeerPorts(Machine().listen, "http://localhost:7001", is_guarded=False).open("")


def test_an_address_stays_open_until_a_peer_has_called_at_another_one() -> None:
    machine = Machine()
    ports = opened(machine, NEW, OLD)
    ports.peer_urls = lambda: [NEW]
    machine.open[AT_OLD]()
    ports.follow()
    assert set(machine.open) == {AT_OLD, AT_NEW}


def test_a_running_node_that_the_membership_moves_listens_at_the_new_url_too() -> None:
    machine = Machine()
    ports = opened(machine, OLD, OLD)
    ports.peer_urls = lambda: [NEW]
    ports.follow()
    assert set(machine.open) == {AT_OLD, AT_NEW}
    assert machine.started == {AT_NEW}, "the first one is started with the node"


def test_a_node_whose_old_address_is_not_of_this_machine_starts_at_the_new_one() -> None:
    machine = Machine()
    machine.errors[AT_OLD] = errno.EADDRNOTAVAIL
    opened(machine, NEW, OLD)
    assert set(machine.open) == {AT_NEW}


def test_a_start_where_nothing_can_be_listened_at_is_refused_and_names_peer_host() -> None:
    machine = Machine()
    machine.errors = {AT_OLD: errno.EADDRNOTAVAIL, AT_NEW: errno.EADDRNOTAVAIL}
    with pytest.raises(StartRefused, match=r"7002 on 127\.0\.0\.1 .*--peer-host"):
        opened(machine, NEW, OLD)


def test_what_cannot_be_listened_at_is_logged_once_and_listened_at_when_it_can_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine()
    ports = opened(machine, OLD)
    ports.peer_urls = lambda: [NEW]
    machine.errors[AT_NEW] = errno.EADDRINUSE
    ports.follow()
    ports.follow()
    assert len(caplog.records) == 1 and NEW in caplog.text
    del machine.errors[AT_NEW]
    ports.follow()
    assert set(machine.open) == {AT_OLD, AT_NEW}


@pytest.mark.parametrize(("port", "listened"), [(0, 7001), (9000, 9000)])
def test_with_peer_host_it_is_listened_there_whatever_host_the_url_names(port: int, listened: int) -> None:
    machine = Machine()
    ports = opened(machine, "http://no-such-host.invalid:7001", host="0.0.0.0", port=port)
    ports.peer_urls = lambda: ["http://elsewhere.invalid:7001"]
    ports.follow()
    assert set(machine.open) == {("0.0.0.0", listened)}


def test_an_address_that_a_wildcard_listener_serves_is_not_bound_again() -> None:
    machine = Machine()
    ports = opened(machine, "http://0.0.0.0:7001")
    ports.peer_urls = lambda: ["http://127.0.0.1:7001"]
    ports.follow()
    assert set(machine.open) == {("0.0.0.0", 7001)}


def test_a_name_that_does_not_resolve_yet_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine, known = Machine(), threading.Event()
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *more: int, **options: int) -> object:
        if not known.is_set():
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve("127.0.0.1", *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with caplog.at_level(logging.WARNING):
        ports = opened(machine, "http://node-1:7001")
    assert "node-1" in caplog.text and "node-1" in ports.waiting_for
    stopped = threading.Event()
    stopped.set()
    assert not ports.wait_open(stopped)
    ports.start()
    known.set()
    try:
        wait_until(lambda: set(machine.open) == {AT_OLD}, 10, "it is listened there")
        assert ports.wait_open(threading.Event()) and not ports.waiting_for
    finally:
        ports.close(0.0)
    assert machine.open == {}


def test_hosts_that_did_not_change_are_not_looked_up_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, looked_up, urls, seen = Machine(), list[str](), [OLD], threading.Semaphore(0)
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, *more: int, **options: int) -> object:
        looked_up.append(host)
        return resolve(host, *more, **options)

    def peer_urls() -> list[str]:
        seen.release()
        return urls

    monkeypatch.setattr("raft.rpc.peer_ports.POLL_S", 0.001)
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    ports = opened(machine, OLD)
    ports.peer_urls = peer_urls
    ports.start()
    try:
        for _ in range(50):
            assert seen.acquire(timeout=5)
        assert len(looked_up) == 2  # at the start, and at the first look
        urls = [NEW]
        wait_until(lambda: set(machine.open) == {AT_OLD, AT_NEW}, 5, "the new URL is listened at")
    finally:
        ports.close(0.0)
