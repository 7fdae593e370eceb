"""The sub-commands: what they do at a node, and the one line where they cannot."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.security import check_password_hash

import raft_chat
from chat.cli import operator_file
from chat.cli.operator_file import OperatorFile
from raft.errors import ChangeRefused
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient
from tests.chat.wire import serving

PASSWORD = "correct horse"


def typed(content: bytes) -> io.TextIOWrapper:
    """A stdin whose locale knows ASCII only."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="ascii")


class Terminal:
    """A node, and somebody who runs sub-commands beside it."""

    def __init__(self, chat: ChatClient, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.chat = chat
        self.data_dir = data_dir
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str]:
        """The exit code, and the lines on stdout or on stderr."""
        code = raft_chat.main([*arguments, "--data-dir", str(self.data_dir)])
        out, error = self._capsys.readouterr()
        assert not (out and error)
        return code, out or error

    def fails(self, *arguments: str) -> str:
        """The one line that says why."""
        code, said = self.run(*arguments)
        assert code == 1
        assert said.startswith("raft-chat: ")
        assert said.count("\n") == 1
        return said

    def user(self, name: str) -> dict[str, object]:
        users = self.chat.state.ask(lambda tables: dict(tables.users))
        return users[name]._asdict()


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setattr("sys.stdin", typed(f"{PASSWORD}\nmore\n".encode()))
    chat = ChatClient()
    with serving(chat.app) as server:
        file = OperatorFile(f"http://127.0.0.1:{server.port}", OPERATORS_SECRET)
        (tmp_path / operator_file.NAME).write_bytes(operator_file.encode(file))
        yield Terminal(chat, tmp_path, capsys)


def test_an_admin_is_made_with_a_password_from_stdin(terminal: Terminal) -> None:
    code, said = terminal.run("user", "add", "ann", "--admin", "--password-stdin", "--display-name", "Ann")
    assert (code, said) == (0, "Made user ann: admin.\n")
    user = terminal.user("ann")
    assert (user["role"], user["display_name"]) == ("admin", "Ann")
    assert check_password_hash(str(user["password_hash"]), PASSWORD)


def test_a_name_can_be_kept_without_a_password(terminal: Terminal) -> None:
    assert terminal.run("user", "add", "bob", "--no-password")[0] == 0
    assert terminal.user("bob")["password_hash"] == ""
    assert terminal.user("bob")["role"] == "member"
    terminal.run("user", "password", "bob", "--password-stdin")
    assert terminal.user("bob")["password_hash"] != ""


def test_a_guest_is_made_a_member_of_rooms(terminal: Terminal) -> None:
    terminal.chat.fill(1)
    assert terminal.run("user", "add", "gus", "--guest", "--room", "general", "--no-password")[0] == 0
    details = terminal.chat.state.ask(lambda tables: tables.rooms.by_name["general"].details)
    assert details is not None
    assert details.members == {"gus"}


def test_users_are_listed_however_many_there_are(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.api.routes.paging.PAGE_NAMES_MAX", 2)
    for name in ("ann", "bob", "eve", "gus", "zoe"):
        terminal.run("user", "add", name, "--no-password")
    terminal.run("user", "deactivate", "eve")
    code, said = terminal.run("user", "list")
    assert code == 0
    assert [line.split("\t")[0] for line in said.splitlines()] == ["ann", "bob", "eve", "gus", "zoe"]
    assert said.splitlines()[2] == "eve\tmember\tnot active\teve"


def test_a_user_is_deactivated_and_activated(terminal: Terminal) -> None:
    terminal.run("user", "add", "eve", "--no-password")
    assert terminal.run("user", "deactivate", "eve") == (0, "User eve is not active any more.\n")
    assert terminal.user("eve")["active"] is False
    assert terminal.run("user", "activate", "eve") == (0, "User eve is active.\n")
    assert terminal.user("eve")["active"] is True


def test_what_the_node_refuses_is_said_in_its_words(terminal: Terminal) -> None:
    terminal.run("user", "add", "ann", "--no-password")
    assert "Name: this name is taken. Choose another one." in terminal.fails("user", "add", "ann", "--no-password")
    assert "Name: looks like" in terminal.fails("user", "add", "Ann", "--no-password")
    assert "Name:" in terminal.fails("user", "add", "@room", "--no-password")
    assert "there is no such user" in terminal.fails("user", "deactivate", "a/b")


def test_a_password_is_typed_twice(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter([PASSWORD, PASSWORD, PASSWORD, "another one"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    assert terminal.run("user", "add", "ann")[0] == 0
    assert "two passwords are not the same" in terminal.fails("user", "add", "bob")


def test_without_a_terminal_a_password_has_to_be_piped_in(terminal: Terminal) -> None:
    assert "--password-stdin" in terminal.fails("user", "add", "ann")


def test_a_node_that_does_not_run_is_said_so(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / operator_file.NAME).write_bytes(
        operator_file.encode(OperatorFile("http://127.0.0.1:1", OPERATORS_SECRET))
    )
    assert "No node answers at http://127.0.0.1:1" in terminal.fails("user", "list")


def test_a_directory_without_the_file_is_said_so(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / operator_file.NAME).unlink()
    assert f"{tmp_path}/operator.json does not exist" in terminal.fails("user", "list")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b'{"Url":1,"Token":"x"}', b'{"Url":"http://a:b","Token":"x"}', b'{"Url":"http://a","Token":"x"}',
        b'{"Url":"http://a:1","Token":"a\\nb"}', b"[]", b"\xff",
    ],
)  # fmt: skip
def test_a_file_that_no_node_wrote_is_said_so(tmp_path: Path, terminal: Terminal, content: bytes) -> None:
    (tmp_path / operator_file.NAME).write_bytes(content)
    assert "was not written by a node" in terminal.fails("user", "list")


def test_a_file_that_cannot_be_read_is_said_so(tmp_path: Path, terminal: Terminal) -> None:
    (tmp_path / operator_file.NAME).unlink()
    (tmp_path / operator_file.NAME).mkdir()
    assert "cannot be read" in terminal.fails("user", "list")


def test_another_nodes_token_is_said_so(tmp_path: Path, terminal: Terminal) -> None:
    file = operator_file.read(tmp_path)._replace(token="op_another")
    (tmp_path / operator_file.NAME).write_bytes(operator_file.encode(file))
    assert "did not write operator.json" in terminal.fails("user", "list")


def test_the_data_directory_can_come_from_the_environment(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAFT_CHAT_DATA_DIR", str(terminal.data_dir))
    assert raft_chat.main(["user", "add", "ann", "--no-password"]) == 0
    assert terminal.user("ann")


@pytest.mark.parametrize(
    "arguments",
    [
        ("user",),
        ("user", "remove", "ann"),
        ("user", "add"),
        ("user", "add", "ann", "--admin", "--guest"),
        ("user", "add", "ann", "--password-stdin", "--no-password"),
        ("auth",),
        ("auth", "closed"),
        ("auth", "login", "--signup", "never"),
    ],
)
def test_arguments_without_sense_are_refused_in_one_line(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert raft_chat.main(arguments) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [("user",), ("user", "add"), ("user", "list"), ("user", "password"), ("auth",)])
def test_each_has_its_help(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        raft_chat.main([*arguments, "--help"])
    assert ended.value.code == 0
    assert " ".join(("raft-chat", *arguments)) in capsys.readouterr().out


def test_no_password_is_ever_an_argument_or_in_what_is_said(terminal: Terminal) -> None:
    _, said = terminal.run("user", "add", "ann", "--password-stdin")
    assert PASSWORD not in said
    assert PASSWORD not in json.dumps([body.decode() for body in terminal.chat.replica.proposed])


# --- raft-chat clock


def test_a_clock_is_accepted(terminal: Terminal) -> None:
    terminal.chat.replica.now += 3_600_000_000
    said = "The log's time was 2026-11-23T11:00:00.123456Z and is now 2026-11-23T10:00:00.123456Z.\n"
    assert terminal.run("clock", "accept") == (0, said)


def test_clocks_that_differ_are_one_line(terminal: Terminal) -> None:
    terminal.chat.replica.refusal = ChangeRefused("clocks_differ", "the clocks of the nodes differ")
    assert "the clocks of the nodes differ" in terminal.fails("clock", "accept")


# What the streams are


def test_names_that_stdout_cannot_encode_are_printed_as_escapes(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal.run("user", "add", "zoë", "--no-password")
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    assert raft_chat.main(["user", "list", "--data-dir", str(terminal.data_dir)]) == 0
    assert b"zo\\xeb\t" in written.getvalue()


def test_a_reader_of_the_list_that_goes_away_is_no_traceback(tmp_path: Path) -> None:
    full_pipe = 'import os, sys, chat.cli.user, raft_chat; chat.cli.user.main = lambda *_: print("x" * 99) or 0; '
    program = (
        full_pipe + 'r, w = os.pipe(); os.dup2(w, 1); os.close(r); os.close(w); sys.exit(raft_chat.main(["user"]))'
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_byte_order_mark_is_no_part_of_a_piped_password(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, end: bytes
) -> None:
    password = "gutes Wörterbuch"
    monkeypatch.setattr("sys.stdin", typed(b"\xef\xbb\xbf" + password.encode() + end))
    assert terminal.run("user", "add", "ann", "--password-stdin")[0] == 0
    assert check_password_hash(str(terminal.user("ann")["password_hash"]), password)


def test_a_piped_password_that_is_not_utf8_is_refused(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", typed(b"\xff\xfe"))
    assert "not UTF-8" in terminal.fails("user", "add", "ann", "--password-stdin")


def test_a_name_that_is_not_utf8_is_refused(terminal: Terminal) -> None:
    assert "not UTF-8" in terminal.fails("user", "deactivate", "ann\udcff")


def test_a_data_directory_that_ends_in_a_carriage_return_is_refused(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_CHAT_DATA_DIR", f"{terminal.data_dir}\r")
    assert "control character" in terminal.fails("user", "list")


def test_help_is_printed_where_stdout_is_ascii() -> None:
    command = [sys.executable, "-m", "raft_chat", "--help"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_node_with_too_few_descriptors_refuses_to_start_in_words(tmp_path: Path) -> None:
    limited = "import resource, sys, raft_chat; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); "
    program = limited + 'sys.exit(raft_chat.main(["--data-dir", sys.argv[1]]))'
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, timeout=30, check=False, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith("raft-chat: only 64 open files are allowed, and a node needs 128.")
    assert not (tmp_path / "data").exists()
