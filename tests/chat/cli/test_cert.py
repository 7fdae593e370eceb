"""raft-chat cert: a CA and certificates that clients and nodes believe, and nothing overwritten."""

import os
import socket
import ssl
import stat
import subprocess
import threading
from pathlib import Path

import pytest

import raft_chat

HOSTS = "chat.example,127.0.0.1,::1,twice.example,twice.example"
FILES = ("chat.example", "127.0.0.1", "__1", "twice.example-4", "twice.example-5")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates for HOSTS."""
    output = tmp_path_factory.mktemp("certificates")
    assert raft_chat.main(["cert", f"--hosts={HOSTS}", "--output", str(output)]) == 0
    return output


def make(output: Path, hosts: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and all that is printed."""
    code = raft_chat.main(["cert", f"--hosts={hosts}", "--output", str(output)])
    out, error = capsys.readouterr()
    return code, out + error


def test_each_host_gets_a_certificate_and_only_its_owner_can_read_a_key(made: Path) -> None:
    names = {"ca.crt", "ca.key", *(f"{name}{suffix}" for name in FILES for suffix in (".crt", ".key"))}
    assert set(os.listdir(made)) == names
    for name in names:
        assert stat.S_IMODE((made / name).stat().st_mode) == (0o600 if name.endswith(".key") else 0o644)


def test_a_strict_verifier_takes_them_as_a_servers_and_as_a_clients(made: Path) -> None:
    for purpose in ("sslserver", "sslclient"):
        files = [str(made / f"{name}.crt") for name in FILES]
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(made / "ca.crt"), *files]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.count(": OK") == len(FILES)


@pytest.mark.parametrize(
    ("file", "name", "member"),
    [
        ("chat.example", "chat.example", 1),
        ("127.0.0.1", "127.0.0.1", 2),
        ("__1", "::1", 3),
        ("chat.example", "localhost", 1),
    ],
)
def test_both_sides_of_a_connection_know_each_other_by_name_and_by_member(
    made: Path, file: str, name: str, member: int
) -> None:
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=made / "ca.crt")
    ours.verify_mode = ssl.CERT_REQUIRED
    theirs = ssl.create_default_context(cafile=made / "ca.crt")
    for context in (ours, theirs):
        context.load_cert_chain(made / f"{file}.crt", made / f"{file}.key")
    near, far = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        with ours.wrap_socket(near, server_side=True) as wrapped:
            seen.append((wrapped.getpeercert() or {})["subjectAltName"])
            wrapped.send(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    with theirs.wrap_socket(far, server_hostname=name) as wrapped:
        assert wrapped.recv(5) == b"hello"
    thread.join()
    assert ("URI", f"urn:raft-chat:member:{member}") in seen[0]  # type: ignore[operator]


def test_a_host_is_added_to_an_authority_that_is_there_and_nothing_else_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(tmp_path, "a", capsys)[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    code, said = make(tmp_path, "a,b", capsys)
    assert code == 0
    assert said.startswith("Made certificates for b in ")
    assert {path: path.read_bytes() for path in before} == before
    assert make(tmp_path, "a,b", capsys) == (0, f"All 2 hosts have a certificate in {tmp_path} already.\n")
    code, said = make(tmp_path, "b,a", capsys)
    assert (code, said.partition(". ")[0]) == (1, f"raft-chat: {tmp_path}/b.crt is not of member 1")


def test_a_file_that_lacks_its_other_half_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make(tmp_path, "a", capsys)[0] == 0
    (tmp_path / "a.crt").unlink()
    assert make(tmp_path, "a", capsys)[1].startswith(f"raft-chat: {tmp_path}/a.crt is missing.")
    (tmp_path / "ca.key").unlink()
    code, said = make(tmp_path, "b", capsys)
    assert (code, said.partition(". ")[0]) == (1, f"raft-chat: {tmp_path}/ca.key is missing")
    assert sorted(os.listdir(tmp_path)) == ["a.key", "ca.crt"]


@pytest.mark.parametrize("hosts", ["", "a,,b", "http://a", "a:12380", "a b", "-a", "ca", "*", "a" * 64, "a\nb"])
def test_a_name_that_no_host_has_is_refused(tmp_path: Path, hosts: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = make(tmp_path, hosts, capsys)
    assert code == 1
    assert said.startswith("raft-chat: --hosts")
    assert list(tmp_path.iterdir()) == []


def test_without_the_program_openssl_words_say_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, said = make(tmp_path / "new", "a", capsys)
    assert code == 1
    assert "apt install openssl" in said


def test_a_directory_that_cannot_be_written_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    code, said = make(tmp_path / "file" / "below", "a", capsys)
    assert (code, said) == (1, f"raft-chat: {tmp_path}/file/below: Not a directory\n")
