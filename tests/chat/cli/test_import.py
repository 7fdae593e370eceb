"""`raft-chat import`: what is read from a file, what is refused, and how it goes on after it broke off."""

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chat.cli.importing import command
from tests.chat.chat_client import ChatClient
from tests.chat.cli.test_operator_commands import Terminal, at, dead_url
from tests.chat.login_client import LoginClient


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with at(ChatClient(), tmp_path, capsys) as terminal:
        yield terminal


def line(id: int, **more: object) -> dict[str, object]:
    return {"Id": id, "User": "ann", "Message": f"m{id}", "PostedAt": "2020-01-01T00:00:00Z", **more}


def file(directory: Path, *lines: dict[str, object], name: str = "f.ndjson") -> str:
    path = directory / name
    path.write_text("".join(f"{json.dumps(each)}\n" for each in lines))
    return str(path)


def posts(chat: ChatClient, room: str = "general") -> list[dict[str, Any]]:
    return [json.loads(each) for each in chat.get(f"/rooms/{room}/export").data.splitlines()]


def test_a_file_is_imported_into_a_room_that_is_made_for_it(terminal: Terminal, tmp_path: Path) -> None:
    written = file(tmp_path, line(7), line(9, ReplyTo=7), line(12, ReplyTo=8))
    code, out, error = terminal.run("import", "gen/eral é", written)
    assert (code, error) == (0, "")
    assert out == (
        "Imported 3 messages into gen/eral é.\n1 replies do not say what they answer: that is not in the file.\n"
    )
    found = posts(terminal.chat, "gen%2Feral%20%C3%A9")
    assert [(post["Id"], post["Message"], post.get("ReplyTo")) for post in found] == [
        (1, "m7", None), (2, "m9", 1), (3, "m12", None)
    ]  # fmt: skip


def test_more_messages_than_a_request_holds_keep_their_order(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LINES_MAX", 2)
    monkeypatch.setattr(command, "BODY_BYTES", 250)
    assert terminal.run("import", "general", file(tmp_path, *map(line, range(1, 10))))[0] == 0
    assert [post["Message"] for post in posts(terminal.chat)] == [f"m{id}" for id in range(1, 10)]


def test_the_same_file_again_imports_nothing_and_another_file_does(terminal: Terminal, tmp_path: Path) -> None:
    written = file(tmp_path, line(1), line(2))
    terminal.run("import", "general", written)
    code, out, _ = terminal.run("import", "general", written)
    assert (code, out) == (0, "Imported 0 messages into general.\n2 messages of this file were there before.\n")
    terminal.run("import", "general", file(tmp_path, line(1), line(3)))
    assert [post["Message"] for post in posts(terminal.chat)] == ["m1", "m2", "m1", "m3"]


def test_an_import_that_broke_off_goes_on_with_the_next_message(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LINES_MAX", 2)
    monkeypatch.setattr(command, "PATIENCE_S", 0.0)
    monkeypatch.setattr(command, "RETRY_S", 0.0)
    written = file(tmp_path, *[line(id, ReplyTo=1) if id > 1 else line(1) for id in range(1, 7)])
    replica, proposing = terminal.chat.replica, terminal.chat.replica.propose

    def failing(body: bytes, done: Any, *, flushes: bool = False) -> None:
        replica.unavailable = b'"Number":4' in body
        proposing(body, done, flushes=flushes)

    monkeypatch.setattr(replica, "propose", failing)
    error = terminal.run("import", "general", written)
    assert error[0] == 3
    assert error[2].endswith("2 of 6 messages were imported. Run the same command again to go on.\n")
    replica.unavailable = False
    monkeypatch.setattr(replica, "propose", proposing)
    assert terminal.run("import", "general", written)[0] == 0
    assert [(post["Message"], post.get("ReplyTo")) for post in posts(terminal.chat)] == [
        ("m1", None), *((f"m{id}", 1) for id in range(2, 7))
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (line(2, Message=""), "line 2: Message: must have 1 to 8,000 code points, has 0. Nothing was imported."),
        (line(1), "line 2: Id: must ascend from line to line. Nothing was imported."),
        (line(2, Imported=1, More=1), "line 2: body: has an unknown field"),
        (line(2, Message="x" * 130_000), "line 2: is longer than 122,880 bytes."),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_sent(
    terminal: Terminal, tmp_path: Path, second: dict[str, object], says: str
) -> None:
    written = file(tmp_path, line(1), second)
    assert says in terminal.fails("import", "general", written)
    assert terminal.chat.replica.proposed == []


def test_a_file_that_is_not_there_or_empty_is_refused(terminal: Terminal, tmp_path: Path) -> None:
    assert "No such file" in terminal.fails("import", "general", str(tmp_path / "none"))
    assert "has no message" in terminal.fails("import", "general", file(tmp_path))


def test_stdin_is_read_for_a_dash(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(line(1)).encode())))
    assert terminal.run("import", "general", "-")[1] == "Imported 1 messages into general.\n"


def test_who_may_not_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat = LoginClient()
    with at(chat, tmp_path, capsys) as terminal:
        written = file(tmp_path, line(1))
        own = ("--from", terminal.url, "--token", chat.secret["bob"])
        assert "only an admin or the operator" in terminal.fails("import", "general", written, *own)
        assert terminal.run("import", "general", written, *own[:3], chat.secret["ann"])[0] == 0


def test_another_node_is_asked_when_one_does_not_answer(terminal: Terminal, tmp_path: Path) -> None:
    urls = f"{dead_url()},{terminal.url}"
    secret = json.loads((tmp_path / "operator.json").read_text())["Token"]
    code, _, _ = terminal.run("import", "general", file(tmp_path, line(1)), "--from", urls, "--token", secret)
    assert code == 0


def test_restore_into_a_room_is_the_same(terminal: Terminal, tmp_path: Path) -> None:
    code, out, _ = terminal.run("restore", "--into-room", "general", file(tmp_path, line(1)))
    assert (code, out) == (0, "Imported 1 messages into general.\n")


def test_a_file_that_changes_under_the_command_is_refused_where_it_changed(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LINES_MAX", 2)
    path = Path(file(tmp_path, *map(line, range(1, 6))))
    lines = path.read_text().splitlines(keepends=True)
    ask = command._Importing._ask_progress
    for changed in ("".join(lines[:3]), "".join(lines[:4]) + '{"Id":5,"Us', "".join([*lines[:2], lines[4]])):

        def ask_and_change(importing: command._Importing, changed: str = changed) -> int:
            path.write_text(changed)
            return ask(importing)

        path.write_text("".join(lines))
        monkeypatch.setattr(command._Importing, "_ask_progress", ask_and_change)
        terminal.chat.delete("/rooms/general")
        code, _, error = terminal.run("import", "general", str(path))
        assert code == 1
        # The lines before the change may not have been sent by the time that it is met.
        assert re.search(f"{path} has changed since it was checked. [02] of 5 messages were imported.", error)
    path.write_text("".join(lines))
    monkeypatch.setattr(command._Importing, "_ask_progress", ask)
    assert terminal.run("import", "general", str(path))[0] == 0
    assert [post["Message"] for post in posts(terminal.chat)] == [f"m{id}" for id in range(1, 6)]


def test_lines_that_are_added_under_the_command_are_left_out(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(file(tmp_path, line(1), line(2)))
    ask = command._Importing._ask_progress

    def ask_and_add(importing: command._Importing) -> int:
        path.write_text(path.read_text() + json.dumps(line(3)) + "\n")
        return ask(importing)

    monkeypatch.setattr(command._Importing, "_ask_progress", ask_and_add)
    assert terminal.run("import", "general", str(path))[:2] == (0, "Imported 2 messages into general.\n")
    assert len(posts(terminal.chat)) == 2
