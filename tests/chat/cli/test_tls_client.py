"""The commands at a node over TLS: whom they believe, and what they say of one that they do not."""

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

import raft_chat
from chat.cli import operator_file
from chat.cli.node_socket import NodeSocket
from chat.cli.operator_file import OperatorFile
from tests.chat.chat_client import OPERATORS_SECRET
from tests.support.certificates import certificates
from tests.support.node import Node

CA = ("--ca", str(certificates() / "ca.crt"))


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(is_tls=True) as node:
        yield node


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = raft_chat.main(arguments)
    out, error = capsys.readouterr()
    return code, out, error


def test_a_message_is_sent(node: Node, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"https://127.0.0.1:{node.port}"
    assert run(capsys, "send", "general", "hello", "--user", "ann", "--from", url, *CA)[0] == 0
    assert node.state.posts == 1


def test_a_burst_of_large_frames_is_read_to_its_end(node: Node) -> None:
    socket = NodeSocket([f"https://127.0.0.1:{node.port}"], "", CA[1])
    socket.connect()
    cursor = node.connect().subscribe()
    for number in range(100):
        node.post(message=f"{number} " + "x" * 3000)
    socket.send({"Action": "subscribe", "Rooms": "*", "Cursor": cursor})
    heard: list[str] = []
    while len(heard) < 100:
        frame = socket.receive(10.0)
        assert frame is not None, f"only {len(heard)} have come"
        if "Cursor" in frame and isinstance(post := frame.get("Post"), dict):
            heard.append(post["Message"].partition(" ")[0])
    assert heard == [str(number) for number in range(100)]
    socket.close()


@pytest.mark.parametrize("command", [("send", "general", "hi", "--user", "ann"), ("tail", "general"), ("status",)])
def test_a_node_that_is_not_believed_is_named_with_what_to_do(
    node: Node, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, *command, "--from", f"https://127.0.0.1:{node.port}")
    assert code == 1
    assert error.startswith(f"raft-chat: The certificate of https://127.0.0.1:{node.port} is not valid: ")
    assert "--ca" in error


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # simple-websocket leaves its socket open
@pytest.mark.parametrize("command", [("send", "general", "hi", "--user", "ann"), ("tail", "general"), ("status",)])
def test_a_url_without_tls_is_told_to_need_it(
    node: Node, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, *command, "--from", f"http://127.0.0.1:{node.port}")
    assert code == 1
    assert "needs TLS" in error and "https://" in error


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("no certificate", "holds no certificate")])
def test_a_file_of_cas_that_cannot_be_used_is_refused(
    content: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / "ca.crt").write_text(content)
    for command in (("tail", "general"), ("status",)):
        code, _, error = run(capsys, *command, "--from", "https://127.0.0.1:1", "--ca", str(tmp_path / "ca.crt"))
        assert (code, words in error) == (1, True), error


def test_the_node_of_a_data_directory_is_believed_by_its_certificate_file(
    node: Node, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = tmp_path / "own.crt"
    shutil.copy(certificates() / "127.0.0.1.crt", certificate)
    file = OperatorFile(f"https://localhost:{node.port}", OPERATORS_SECRET, str(certificate))
    (tmp_path / operator_file.NAME).write_bytes(operator_file.encode(file))
    assert operator_file.read(tmp_path) == file
    # It was asked, so its certificate was right; it knows no operator.
    assert "did not write operator.json" in run(capsys, "auth", "open", "--data-dir", str(tmp_path))[2]
    shutil.copy(certificates() / "ca.crt", certificate)
    code, _, error = run(capsys, "auth", "open", "--data-dir", str(tmp_path))
    assert (code, "shows another certificate" in error) == (1, True), error
    certificate.unlink()
    assert "shows another certificate" in run(capsys, "auth", "open", "--data-dir", str(tmp_path))[2]


def test_a_ca_of_this_system_is_believed_too(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", CA[1])
    assert ssl.get_default_verify_paths().cafile == CA[1]
    assert run(capsys, "send", "general", "hi", "--user", "ann", "--from", f"https://127.0.0.1:{node.port}")[0] == 0
