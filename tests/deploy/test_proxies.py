"""The examples for nginx, HAProxy and Caddy, each in front of three nodes with TLS, as deploy/ has them."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cluster.proxies import NAME, certificate
from tests.support.certificates import certificates, client_context
from tests.support.cluster import ROOT, Cluster
from tests.support.tools import absent, require
from tests.support.waiting import wait_until

FILES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}
DEADLINE_S = 20
PATH = "/chat"


class Proxy(NamedTuple):
    """A proxy of this machine: its program, and the path that it serves the chat under."""

    name: str
    path: str = ""

    @property
    def address(self) -> str:
        """An address of its own, whose ports are all free."""
        return f"127.0.{85 if self.path else 84}.{[*FILES].index(self.name) + 1}"


PROXIES = [*map(Proxy, FILES)]


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    require(absent(*FILES, "openssl") + (["root, for port 443"] if os.geteuid() else []))


@contextmanager
def nodes(directory: Path, size: int, *flags: str) -> Iterator[Cluster]:
    """Nodes with TLS behind proxies of this machine, all ready."""
    tls = [f"--{name}={certificates() / '127.0.0.1'}.{suffix}" for name, suffix in (("cert", "crt"), ("key", "key"))]
    flags = (*tls, "--advertise", f"https://{NAME}", "--trust-proxy", "127.0.0.0/8", *flags)
    with Cluster(directory, size, flags=flags) as cluster:
        cluster.start()
        for node in cluster.nodes.values():
            wait_until(lambda port=node.port: is_ready(port) or None, DEADLINE_S, "it is ready")  # type: ignore[misc]
        yield cluster


def is_ready(port: int) -> bool:
    with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=client_context())) as connection:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with nodes(tmp_path_factory.mktemp("nodes"), 3) as cluster:
        yield cluster


def configuration(proxy: Proxy, place: Path, ports: list[int]) -> str:
    """The example, with this machine's addresses, ports and certificates in place of the written ones."""
    text = (ROOT / "deploy" / FILES[proxy.name]).read_text()
    if proxy.path:
        text = moved_under_a_path(text)
    for number, port in enumerate(ports, 1):
        text = text.replace(f"10.0.0.{number}:12380", f"127.0.0.1:{port}")
    assert "10.0.0." not in text
    cert, key = certificate(place)
    both = place / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    for written, real in (
        ("/etc/ssl/chat.example.crt", cert), ("/etc/ssl/chat.example.key", key), ("/etc/ssl/chat.example.pem", both),
        ("/etc/raft-chat/ca.crt", certificates() / "ca.crt"),
    ):  # fmt: skip
        text = text.replace(written, str(real))
    address = proxy.address
    match proxy.name:
        case "nginx":
            (place / "raft-chat.conf").write_text(re.sub(r"listen (\d+)", rf"listen {address}:\1", text))
            temporary = "".join(f"{kind}_temp_path {place}/{kind}; " for kind in
                                ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))  # fmt: skip
            text = (
                f"user root; daemon off; pid {place}/pid; error_log {place}/error.log; events {{}}\n"
                f"http {{ access_log off; {temporary} include {place}/raft-chat.conf; }}\n"
            )
        case "haproxy":
            text = re.sub(r"bind :(\d+)", rf"bind {address}:\1", text)
        case "caddy":
            # The certificate is this test's, as nobody could ask for one for the name.
            site = f"{NAME} {{\n\tbind {address}\n\ttls {cert} {key}\n"
            text = "{\n\tadmin off\n}\n" + text.replace(f"{NAME} {{\n", site)
    return text


def moved_under_a_path(text: str) -> str:
    """Do what the example's comment says."""
    line = next(line for line in text.splitlines() if "Under a path: " in line)
    wanted = line.partition("write `")[2].partition("`")[0].removesuffix(" …")
    after = text.partition(line)[2].lstrip("\n")
    written = after.splitlines()[0]
    indent = written[: len(written) - len(written.lstrip())]
    rest = written.strip().removeprefix("reverse_proxy") if wanted.startswith("reverse_proxy") else ""
    return text.replace(written, f"{indent}{wanted}{rest}")


@contextmanager
def running(proxy: Proxy, place: Path, text: str) -> Iterator[None]:
    """The proxy with this configuration, once its own check has found nothing."""
    file = place / FILES[proxy.name]
    if proxy.name == "nginx":
        file = place / "main.conf"
    file.write_text(text)
    check, run = {
        "nginx": (["nginx", "-t", "-q", "-e", f"{place}/error.log", "-c", str(file)],
                  ["nginx", "-e", f"{place}/error.log", "-c", str(file)]),
        "haproxy": (["haproxy", "-c", "-q", "-f", str(file)], ["haproxy", "-db", "-f", str(file)]),
        "caddy": (["caddy", "validate", "--adapter", "caddyfile", "--config", str(file)],
                  ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]),
    }[proxy.name]  # fmt: skip
    environment = {**os.environ, "XDG_DATA_HOME": str(place), "XDG_CONFIG_HOME": str(place)}
    done = subprocess.run(check, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stdout + done.stderr
    with (place / "output").open("w") as output:
        process = subprocess.Popen(run, env=environment, stdout=output, stderr=output)
    try:

        def passes_on() -> bool:
            assert process.poll() is None, (place / "output").read_text()
            return get(proxy, "/livez")[0] == 200

        wait_until(passes_on, DEADLINE_S, f"{proxy.name} passes requests on")
        yield
    finally:
        # Caddy would wait for its streams to end; nginx ends at once, but only in order with its workers.
        process.send_signal(signal.SIGTERM if proxy.name == "nginx" else signal.SIGKILL)
        process.wait(DEADLINE_S)


def connect(proxy: Proxy, port: int = 443) -> socket.socket:
    """A connection as a browser makes it that was told https://chat.example."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection((proxy.address, port), DEADLINE_S)
    return context.wrap_socket(plain, server_hostname=NAME) if port == 443 else plain


def exchange(proxy: Proxy, method: str, path: str, body: object = None, port: int = 443) -> http.client.HTTPResponse:
    text = "" if body is None else json.dumps(body)
    lines = (f"{method} {proxy.path}{path} HTTP/1.1", f"Host: {NAME}", f"Content-Length: {len(text)}")
    connection = connect(proxy, port)
    connection.sendall("\r\n".join((*lines, "Connection: close", "", text)).encode())
    answer = http.client.HTTPResponse(connection)
    connection.close()  # with the answer
    answer.begin()
    return answer


def get(proxy: Proxy, path: str) -> tuple[int, bytes]:
    with exchange(proxy, "GET", path) as answer:
        return answer.status, answer.read()


@contextmanager
def stream(proxy: Proxy, path: str, *headers: str) -> Iterator[socket.socket]:
    """A connection that stays open, once its request is sent."""
    with connect(proxy) as connection:
        lines = (f"GET {proxy.path}{path} HTTP/1.1", f"Host: {NAME}", f"Origin: https://{NAME}", *headers)
        connection.sendall("\r\n".join((*lines, "", "")).encode())
        yield connection


def wait_bytes(connection: socket.socket, words: bytes) -> bytes:
    """Receive up to these words."""
    found = b""
    while words not in found:
        more = connection.recv(65_536)
        assert more, found
        found += more
    return found


WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
             "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")  # fmt: skip


@pytest.fixture(scope="module")
def proxies(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All three proxies, in front of the same nodes."""
    ports = [node.port for node in cluster.nodes.values()]
    with ExitStack() as stack:
        for proxy in PROXIES:
            place = tmp_path_factory.mktemp(proxy.name)
            stack.enter_context(running(proxy, place, configuration(proxy, place, ports)))
        yield


@pytest.mark.usefixtures("proxies")
@pytest.mark.parametrize("proxy", PROXIES, ids=FILES)
def test_an_example_of_a_proxy_passes_on_all_that_the_chat_needs(proxy: Proxy) -> None:
    check_chat(proxy)
    with exchange(proxy, "GET", "/rooms?limit=1", port=80) as redirected:
        assert (redirected.status, redirected.headers["Location"]) == (308, f"https://{NAME}/rooms?limit=1")


@pytest.mark.usefixtures("proxies")
def test_no_read_fails_behind_any_proxy_while_a_node_ends_in_order_and_is_started_again(cluster: Cluster) -> None:
    cluster.nodes[3].signal(signal.SIGTERM)
    assert cluster.nodes[3].wait_exit() == 0
    for proxy in PROXIES:
        assert {get(proxy, "/rooms/general?limit=1")[0] for _ in range(12)} == {200}, proxy
    cluster.start(3)
    wait_until(lambda: is_ready(cluster.nodes[3].port) or None, DEADLINE_S, "it is back")


@pytest.mark.parametrize("name", FILES)
def test_an_example_serves_the_chat_under_a_path_as_its_comment_says(
    name: str, under_a_path: Cluster, tmp_path: Path
) -> None:
    proxy = Proxy(name, PATH)
    with running(proxy, tmp_path, configuration(proxy, tmp_path, [under_a_path.nodes[1].port] * 3)):
        check_chat(proxy)


@pytest.fixture(scope="module")
def under_a_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with nodes(tmp_path_factory.mktemp("node"), 1, "--base-path", PATH) as cluster:
        yield cluster


def check_chat(proxy: Proxy) -> None:
    """The page, a post, a websocket and events that are passed on while their stream is open."""
    status, page = get(proxy, "/")
    assert status == 200 and b"<title>" in page
    with stream(proxy, "/ws", *WEBSOCKET) as websocket, stream(proxy, "/events") as events:
        assert b" 101 " in wait_bytes(websocket, b"\r\n\r\n")
        wait_bytes(events, b"\r\n\r\n")
        room = f"/rooms/{proxy.name}"
        with exchange(proxy, "POST", room, {"Message": "hello", "User": "ann"}) as posted:
            assert posted.status == 201
            assert posted.headers["Location"].startswith(f"{proxy.path}{room}/messages/")
        wait_bytes(websocket, b"hello")
        wait_bytes(events, b"hello")
