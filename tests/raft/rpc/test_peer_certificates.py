"""Mutual TLS between peers: both certificates are checked, and each is bound to its member."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from chat.server.limits import Limits
from raft.errors import RefusedPeer, StartRefused, UnprovedPeer
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.codec import decode_answer, encode
from raft.rpc.endpoint import Endpoint
from raft.rpc.peer_auth import read_refusal
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import BODY_BYTES_MAX, Addresses, PeerConnection, ProofRefused
from tests.chat.wire import DEADLINE_S, post, serving
from tests.support.peer_certificates import Files, make_certificates
from tests.support.secrets import secret_file

ONE, TWO = Sender(1, "aa", "c1", ""), Sender(2, "bb", "c1", "")
HELLO = encode(TWO, Hello(2, 1))
LISTED = HelloReply({1: "http://127.0.0.1:1"}, {}, ())
HERE = "127.0.0.1"
URLS = {1: "http://127.0.0.1:1", 2: "http://127.0.0.1:2", 3: "http://chat3.example:3", 4: "http://[fe80::1%25eth0]:4"}


def url_of(member: int) -> str:
    return URLS.get(member, "")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    return make_certificates(tmp_path_factory.mktemp("certificates"), HERE, HERE, "chat3.example")


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> list[Files]:
    """Those of another authority, which say the same."""
    return make_certificates(tmp_path_factory.mktemp("strangers"), HERE, HERE)


@contextmanager
def one_serves(own: Files, secret: ClusterSecret | None = None) -> Iterator[str]:
    """Member 1; its URL."""
    certificates = PeerCertificates(*own, url_of)
    endpoint = Endpoint(lambda: ONE, lambda: LISTED, secret, certificates)
    limits = Limits(body_bytes=BODY_BYTES_MAX)
    with serving(endpoint, limits=limits, ssl_context=certificates.server_context) as server:
        yield f"http://{HERE}:{server.port}"


@contextmanager
def connected(
    url: str, own: Files | None, secret: ClusterSecret | None = None, to: int = 1
) -> Iterator[PeerConnection]:
    certificates = PeerCertificates(*own, url_of) if own else None
    connection = PeerConnection(url, Addresses(secret=secret, certificates=certificates), to)
    try:
        yield connection
    finally:
        connection.close()


def hello(connection: PeerConnection, body: bytes = HELLO) -> int:
    status, answer = connection.call(body, DEADLINE_S)
    if status == 200:
        assert decode_answer(answer, connection.proved) == (ONE, LISTED)
    return status


def refusal(connection: PeerConnection) -> str:
    with pytest.raises(ProofRefused) as refused:
        hello(connection)
    return str(refused.value)


def test_members_with_certificates_of_one_authority_call_each_other(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, files[1]) as connection:
        assert [hello(connection) for _ in range(5)] == [200] * 5


def test_a_large_call_arrives_whole(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, files[1]) as connection:
        assert hello(connection, HELLO[:-2] + b" " * 400_000 + b"}\n") == 200


def test_an_idle_connection_is_used_again(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, files[1]) as connection:
        assert hello(connection) == 200
        before = connection._socket
        connection._used_s -= 100.0
        assert hello(connection) == 200
        assert connection._socket is before


def test_a_secret_and_certificates_go_together(files: list[Files], tmp_path: Path) -> None:
    path = secret_file(tmp_path)
    one, two = ClusterSecret(path, lambda: ONE), ClusterSecret(path, lambda: TWO)
    with one_serves(files[0], one) as url, connected(url, files[1], two) as connection:
        assert [hello(connection) for _ in range(3)] == [200] * 3
    with one_serves(files[0], one) as url, connected(url, files[1]) as connection:
        assert hello(connection) == 401


def test_a_certificate_of_another_authority_is_refused_by_both_sides(
    files: list[Files], strangers: list[Files]
) -> None:
    with one_serves(files[0]) as url, connected(url, strangers[1]) as connection:
        assert "its certificate is not accepted here" in refusal(connection)
    mixed = Files(strangers[1].certificate, strangers[1].key, files[1].authority)  # it trusts the server's
    with one_serves(files[0]) as url, connected(url, mixed) as connection:
        assert "it refuses this node's certificate or TLS" in refusal(connection)


def test_a_caller_without_tls_is_not_served_and_knows_why(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, None) as connection:
        assert "it speaks TLS only: start this node with --peer-cert" in refusal(connection)


def test_a_caller_without_a_certificate_is_not_served(files: list[Files]) -> None:
    context = ssl.create_default_context(cafile=files[0].authority)
    with one_serves(files[0]) as url:
        bare = socket.create_connection((HERE, int(url.rpartition(":")[2])), DEADLINE_S)
        with context.wrap_socket(bare, server_hostname=HERE) as caller:
            with suppress(OSError):  # the server may have closed by now
                caller.sendall(post(HELLO, b"/rpc"))
            assert _received(caller) == b""


def _received(caller: ssl.SSLSocket) -> bytes:
    """What comes; nothing where the connection is refused."""
    try:
        return caller.recv(100)
    except OSError:
        return b""


def test_a_peer_without_tls_is_named(files: list[Files]) -> None:
    with serving(Endpoint(lambda: ONE, lambda: LISTED)) as server:
        url = f"http://{HERE}:{server.port}"
        with connected(url, files[1]) as connection:
            assert "it speaks no TLS, or broke off: start it with --peer-cert" in refusal(connection)


def test_a_caller_with_the_certificate_of_another_member_is_refused(
    files: list[Files], caplog: pytest.LogCaptureFixture
) -> None:
    with one_serves(files[0]) as url, connected(url, files[0]) as connection:
        status, answer = connection.call(HELLO, DEADLINE_S)
    assert (status, b"unproved_peer" in answer) == (403, True)
    assert (
        "refused a peer at 127.0.0.1: its certificate is that of urn:raft-chat:member:1, not of member 2" in caplog.text
    )


def test_a_proved_caller_cannot_name_another_member_on_the_same_connection(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, files[1]) as connection:
        assert hello(connection) == 200
        assert hello(connection, encode(Sender(4, "dd", "c1", ""), Hello(4, 1))) == 403
        assert hello(connection, encode(Sender(3, "cc", "c1", ""), Hello(3, 1))) == 403
        assert hello(connection) == 200


def test_a_server_with_the_certificate_of_another_member_is_refused(files: list[Files]) -> None:
    with one_serves(files[1]) as url, connected(url, files[0]) as connection:
        assert "its certificate is that of urn:raft-chat:member:2, not of member 1" in refusal(connection)


def test_a_server_that_answers_in_the_name_of_another_member_is_not_believed(files: list[Files]) -> None:
    with one_serves(files[0]) as url, connected(url, files[1]) as connection:
        answer = encode(Sender(3, "cc", "c1", ""), LISTED)
        hello(connection)
        with pytest.raises(UnprovedPeer, match="from: member 3, on a connection to member 1"):
            decode_answer(answer, connection.proved)


CERTIFICATE = {"subjectAltName": (("DNS", "Chat3.example"), ("DNS", "*.team.example"), ("IP Address", "127.0.0.1"),
                                  ("IP Address", "FE80:0:0:0:0:0:0:1"))}  # fmt: skip
OF_TWO_LOUD = {"subjectAltName": (*CERTIFICATE["subjectAltName"], ("URI", "URN:Raft-Chat:member:2"))}
OF_TWO = {"subjectAltName": (*CERTIFICATE["subjectAltName"], ("URI", "urn:raft-chat:member:2"), ("URI", "urn:x"))}


@pytest.mark.parametrize(
    ("certificate", "member", "url", "words"),
    [
        (CERTIFICATE, 1, "http://127.0.0.1:1", ""),
        (CERTIFICATE, 1, "http://127.0.0.2:1", "does not name its host, 127.0.0.2"),
        (CERTIFICATE, 3, "http://chat3.example:1", ""),
        (CERTIFICATE, 3, "http://chat33.example:1", "does not name its host, chat33.example"),
        (CERTIFICATE, 3, "http://a.chat3.example:1", "does not name its host"),
        (CERTIFICATE, 3, "http://node.team.example:1", ""),
        (CERTIFICATE, 3, "http://a.node.team.example:1", "does not name its host"),
        (CERTIFICATE, 3, "http://team.example:1", "does not name its host"),
        (CERTIFICATE, 4, "http://[fe80::1]:1", ""),
        (CERTIFICATE, 4, "http://[fe80::1%25eth0]:1", ""),
        (CERTIFICATE, 4, "http://[fe80::2]:1", "does not name its host"),
        (CERTIFICATE, 9, "", "member 9 is not known here: compare --cluster, or POST its URL to /raft/9"),
        (OF_TWO, 2, "http://127.0.0.1:1", ""),
        (OF_TWO, 1, "http://127.0.0.1:1", "is that of urn:raft-chat:member:2, not of member 1"),
        (OF_TWO_LOUD, 1, "http://127.0.0.1:1", "is that of urn:raft-chat:member:2, not of member 1"),
        (OF_TWO_LOUD, 2, "http://127.0.0.1:1", ""),
        ({}, 1, "http://127.0.0.1:1", "does not name its host"),
    ],
)
def test_a_certificate_is_good_for_the_member_whose_host_it_names(
    certificate: dict[str, object], member: int, url: str, words: str, files: list[Files]
) -> None:
    certificates = PeerCertificates(*files[0], lambda id: url)
    sender = Sender(member, "aa", "c1", "")
    if not words:
        certificates.check_caller(certificate, sender)
        return
    with pytest.raises(UnprovedPeer) as refused:
        certificates.check_caller(certificate, sender)
    assert words in str(refused.value)


def test_a_common_name_is_no_name_of_a_host_for_either_side(tmp_path: Path) -> None:
    key, certificate = tmp_path / "a.key", tmp_path / "a.crt"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    certificates = PeerCertificates(certificate, key, certificate, lambda id: "http://localhost:1")
    here, there = socket.socketpair()
    with here, there:
        thread = threading.Thread(target=shake_hands, args=(certificates, there))
        thread.start()
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            certificates.wrap(here, "localhost", 1)
        here.close()
        thread.join(DEADLINE_S)
    with pytest.raises(UnprovedPeer, match="does not name its host, localhost"):
        certificates.check_caller({"subject": ((("commonName", "localhost"),),)}, ONE)


def shake_hands(certificates: PeerCertificates, connected: socket.socket) -> None:
    with suppress(OSError):
        certificates.server_context.wrap_socket(connected, server_side=True)


def test_a_certificate_that_does_not_name_the_host_is_good_for_nobody_there(files: list[Files]) -> None:
    certificates = PeerCertificates(*files[0], lambda id: "http://chat4.example:1")
    with pytest.raises(UnprovedPeer, match=r"the certificate of member 2 does not name its host, chat4\.example"):
        certificates.check_caller(OF_TWO, TWO)


def test_a_member_that_was_removed_is_told_that_and_no_more(files: list[Files]) -> None:
    def removed(member: int) -> str:
        raise RefusedPeer("removed", f"member {member} was removed")

    certificates = PeerCertificates(*files[0], removed)
    endpoint = Endpoint(lambda: ONE, lambda: LISTED, None, certificates)
    with ExitStack() as stack:
        server = stack.enter_context(serving(endpoint, ssl_context=certificates.server_context))
        connection = stack.enter_context(connected(f"http://{HERE}:{server.port}", files[1]))
        status, answer = connection.call(HELLO, DEADLINE_S)
    assert (status, read_refusal(answer)) == (410, ("removed", "member 2 was removed", "c1"))


def test_files_that_cannot_be_used_refuse_the_start_in_words(files: list[Files], tmp_path: Path) -> None:
    one, two, _ = files
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("nothing")
    for given, words in (
        ((tmp_path / "nowhere", one.key, one.authority), "nowhere, --peer-key"),
        ((one.certificate, two.key, one.authority), "not a certificate with its key in PEM"),
        ((one.certificate, one.key, nonsense), f"--peer-ca {nonsense}"),
    ):
        with pytest.raises(StartRefused) as refused:
            PeerCertificates(*given, url_of)
        assert words in str(refused.value)


def test_a_reload_takes_new_files_and_keeps_the_earlier_ones_where_they_cannot_be_used(
    files: list[Files], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = Files(tmp_path / "crt", tmp_path / "key", tmp_path / "ca")
    for there, here in zip(files[0], own, strict=True):
        here.write_bytes(there.read_bytes())
    certificates = PeerCertificates(*own, url_of)
    before = certificates.server_context, certificates.client_context
    own.certificate.write_text("half")
    certificates.reload()
    assert (certificates.server_context, certificates.client_context) == before
    assert "the earlier certificates of peers stay in force" in caplog.text
    own.certificate.write_bytes(files[0].certificate.read_bytes())
    certificates.reload()
    assert certificates.server_context is not before[0] and certificates.client_context is not before[1]
