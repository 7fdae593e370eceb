"""What a server over TLS shows: a certificate and its key, each refused in words."""

import ssl
import subprocess
from pathlib import Path

import pytest

from chat.server.tls.certificate import CertificateRefused, server_context
from tests.support.certificates import certificates

CERTIFICATE, KEY = (certificates() / f"127.0.0.1.{suffix}" for suffix in ("crt", "key"))


def refusal(certificate: Path, key: Path) -> str:
    with pytest.raises(CertificateRefused) as refused:
        server_context(certificate, key)
    return str(refused.value)


def test_tls_1_2_and_later_without_renegotiation_are_spoken() -> None:
    context = server_context(CERTIFICATE, KEY)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert ssl.OP_NO_RENEGOTIATION in context.options
    assert context.verify_mode == ssl.CERT_NONE


def test_a_file_that_is_not_there_is_named() -> None:
    missing = CERTIFICATE.with_name("missing")
    assert refusal(missing, KEY) == f"{missing} cannot be read: No such file or directory"
    assert refusal(CERTIFICATE, missing) == f"{missing} cannot be read: No such file or directory"


def test_a_file_that_is_a_directory_or_no_pem_is_refused(tmp_path: Path) -> None:
    assert "Is a directory" in refusal(tmp_path, KEY)
    (tmp_path / "empty").write_text("")
    assert "are not a certificate and its key in PEM" in refusal(tmp_path / "empty", KEY)
    assert "are not a certificate and its key in PEM" in refusal(CERTIFICATE, tmp_path / "empty")


def test_a_key_of_another_certificate_is_named() -> None:
    other = certificates() / "ca.key"
    assert refusal(CERTIFICATE, other) == f"{other} is not the key of the certificate in {CERTIFICATE}"


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_its_password(tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "ec", "-in", str(KEY), "-aes256", "-passout", "pass:secret", "-out", str(encrypted)]
    subprocess.run(command, check=True, capture_output=True)
    assert refusal(CERTIFICATE, encrypted) == f"{encrypted} is encrypted. Store the key without a password."


def test_a_file_with_a_chain_is_taken(tmp_path: Path) -> None:
    chain = tmp_path / "chain.crt"
    chain.write_text(CERTIFICATE.read_text() + (certificates() / "ca.crt").read_text())
    ours, theirs = server_context(chain, KEY), ssl.create_default_context(cafile=certificates() / "ca.crt")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = theirs.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    to_server.write(outgoing.read())
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    incoming.write(to_client.read())
    client.do_handshake()
    assert client.getpeercert()
