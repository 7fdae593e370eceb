"""The clients' port over TLS on a real cluster: curl, the commands, and a certificate that is replaced under load."""

import itertools
import json
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import certificates
from tests.support.cluster import COMMAND, Cluster, NodeProcess, environment, refused_start
from tests.support.http_client import HttpClient
from tests.support.peer_certificates import Files, make_certificates
from tests.support.ports import Port
from tests.support.waiting import wait_until

CA = str(certificates() / "ca.crt")
RENEWALS = 5
DEADLINE_S = 20


@pytest.fixture(scope="module")
def http_port() -> Iterator[Port]:
    port = Port()
    yield port
    port.release()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, http_port: Port) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("tls"), is_tls=True) as running:
        first = running.nodes[1]
        first.start(*first.flags(running.url_list, "--http-port", str(http_port.number)))
        running.start(2, 3)
        running.wait_ready()
        yield running


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def curl(*arguments: str) -> str:
    return run("curl", "-sS", "--fail", "--cacert", CA, *arguments)


def test_curl_posts_at_one_node_and_reads_at_another(cluster: Cluster) -> None:
    body = json.dumps({"User": "ann", "Message": "x" * 8000})
    assert json.loads(curl(f"{cluster.nodes[1].url}/rooms/curl", "-d", body))["Id"] == 1
    assert json.loads(curl(f"{cluster.nodes[3].url}/rooms/curl"))[0]["Message"] == "x" * 8000
    body = json.dumps({"User": "ann", "Message": "behind a 100"})
    assert json.loads(curl("-H", "Expect: 100-continue", f"{cluster.nodes[2].url}/rooms/curl", "-d", body))["Id"] == 2


def test_plain_http_is_sent_on_to_tls_from_both_ports(cluster: Cluster, http_port: Port) -> None:
    for port in (http_port.number, cluster.nodes[1].port):
        body = json.dumps({"User": "ann", "Message": "by way of http"})
        posted = json.loads(curl("-L", f"http://127.0.0.1:{port}/rooms/sent-{port}", "-d", body))
        assert (posted["Id"], posted["Message"]) == (1, "by way of http")


def test_plain_http_for_a_host_that_is_not_the_nodes_is_sent_nowhere_by_both_ports(
    cluster: Cluster, http_port: Port
) -> None:
    for port in (http_port.number, cluster.nodes[1].port):
        for path in ("/", "/livez"):
            to = ("-w", "%{http_code} %{redirect_url}", f"http://127.0.0.1:{port}{path}")
            refused, sent = (run("curl", "-sS", "-H", f"Host: {host}", *to) for host in ("evil.example", "localhost"))
            assert '"wrong_host"' in refused and refused.endswith("421 ")
            assert sent.endswith(f"308 https://localhost:{cluster.nodes[1].port}{path}")


def test_tail_and_send_go_over_tls_and_are_told_the_urls_with_https(cluster: Cluster) -> None:
    at = ("--from", cluster.nodes[1].url, "--ca", CA)
    run(*COMMAND, "send", "commands", "hello", "--user", "ann", *at)
    assert "hello" in run(*COMMAND, "tail", "commands", "--since", "0", "--no-follow", *at)
    with cluster.subscribed(2):  # compares the URLs of its Hello
        pass


def test_the_nodes_own_commands_need_no_ca(cluster: Cluster) -> None:
    assert cluster.nodes[2].url in run(*COMMAND, "status", "--data-dir", str(cluster.nodes[2].data_dir))


def serial_of(node: NodeProcess) -> str:
    """The serial number of the certificate that a new connection is shown."""
    known_or_not = ssl.create_default_context()
    known_or_not.check_hostname, known_or_not.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", node.port), DEADLINE_S) as connected,
        known_or_not.wrap_socket(connected) as wrapped,
    ):
        shown = wrapped.getpeercert(binary_form=True)
    assert shown is not None
    text = ["openssl", "x509", "-inform", "DER", "-noout", "-serial"]
    return subprocess.run(text, input=shown, capture_output=True, check=True).stdout.decode()


class Load(threading.Thread):
    """Requests, one after the other, on a connection for some of them each."""

    def __init__(self, node: NodeProcess, context: ssl.SSLContext, requests_each: int) -> None:
        super().__init__()
        self._node, self._context, self._requests_each = node, context, requests_each
        self.stopping = threading.Event()
        self.answered, self.failures = 0, list[object]()

    def run(self) -> None:
        for number in itertools.count():
            try:
                with HttpClient(self._node.port, tls=self._context) as client:
                    for _ in range(self._requests_each):
                        answer = client.post("reload", f"{number}")
                        self.answered += 1
                        if answer.status != 201:
                            self.failures.append(answer)
                        if self.stopping.is_set():
                            return
            except OSError as error:
                self.failures.append(error)
                return


def test_sighup_replaces_the_certificate_under_load_and_no_request_fails(cluster: Cluster, tmp_path: Path) -> None:
    node = cluster.nodes[2]
    made = [make_certificates(tmp_path / str(number), "127.0.0.1")[0] for number in range(2)]
    context = ssl.create_default_context(cafile=CA)
    for files in made:
        context.load_verify_locations(files.authority)
    loads = [Load(node, context, requests_each) for requests_each in (1, 1, 5, 1_000_000)]
    for load in loads:
        load.start()
    serials = [serial_of(node)]
    for number in range(1, RENEWALS + 1):
        renew(node, made[number % 2], number)
        serials.append(serial_of(node))
        wait_for_more(loads)
    for load in loads:
        load.stopping.set()
    for load in loads:
        load.join(DEADLINE_S)
        assert load.failures == []
    assert all(one != next_ for one, next_ in itertools.pairwise(serials))


def renew(node: NodeProcess, files: Files, times: int) -> None:
    """Have the node read another certificate."""
    node.renew(files.certificate, files.key)
    node.signal(signal.SIGHUP)
    said = "the certificate for clients was read again"
    wait_until(lambda: node.log().count(said) == times, DEADLINE_S, "the certificate is read")


def wait_for_more(loads: list[Load]) -> None:
    """Each load goes on, with connections that began since."""
    before = [load.answered for load in loads]

    def go_on() -> bool:
        return all(load.answered > was + 2 for load, was in zip(loads, before, strict=True))

    wait_until(go_on, DEADLINE_S, "requests are answered")


@pytest.mark.parametrize(
    ("certificate", "words"),
    [("no certificate", "are not a certificate and its key in PEM"), (None, "is not the key of the certificate")],
)
def test_a_certificate_that_cannot_be_used_leaves_the_one_in_use(
    cluster: Cluster, certificate: str | None, words: str, tmp_path: Path
) -> None:
    node = cluster.nodes[3]
    serial = serial_of(node)
    other = make_certificates(tmp_path / "other", "127.0.0.1")[0].certificate
    if certificate is not None:
        other.write_text(certificate)
    node.renew(other, certificates() / "127.0.0.1.key")
    node.signal(signal.SIGHUP)
    node.wait_says(words)
    assert "the certificate for clients stays as it was" in node.log()
    assert serial_of(node) == serial
    assert json.loads(curl(f"{node.url}/rooms/general")) == []
    node.renew(certificates() / "127.0.0.1.crt", certificates() / "127.0.0.1.key")


def test_a_node_whose_certificate_is_missing_does_not_start(tmp_path: Path) -> None:
    node = NodeProcess(1, tmp_path, is_tls=True)
    node.key.unlink()
    try:
        words = refused_start(node, *node.flags(node.peer_url))
        assert words == f"raft-chat: --cert: {node.key} cannot be read: No such file or directory"
    finally:
        node.close()
