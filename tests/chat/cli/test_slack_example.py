"""docs/examples/slack_to_ndjson.py: what it makes of a small made-up export is what `raft-chat import` takes."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chat.services.imports import check_line
from tests.chat.chat_client import ChatClient
from tests.chat.cli.test_operator_commands import at
from tests.support.cluster import ROOT

PROGRAM = ROOT / "docs" / "examples" / "slack_to_ndjson.py"
NOW = 1_800_000_000_000_000

USERS = [
    {"id": "U1", "name": "ann", "profile": {"display_name": "Ann"}},
    {"id": "U2", "name": "bob\u202e", "deleted": True},
    {"id": "U3", "name": ".."},
]
DAYS: dict[str, list[dict[str, Any]]] = {
    "2021-01-02": [
        {
            "type": "message", "user": "U2", "ts": "1609545600.000200", "thread_ts": "1609459200.000100",
            "text": "a &amp;lt; b &lt;3 <#C2|plans> <!here> <!subteam^S1|@team> <mailto:a@b.c|a@b.c>",
        },
        {"type": "message", "subtype": "tombstone", "user": "U1", "ts": "1609545601.000000", "text": "was deleted"},
        {"type": "message", "user": "U9", "ts": "1609545602.000000", "text": "", "files": [{"name": "a\n.png"}]},
        {"type": "message", "user": "U9", "ts": "1609545603.000000", "text": " \n"},
        {"type": "message", "user": "U3", "ts": "1609545604.000000", "text": "é" * 8_001},
    ],
    "2021-01-01": [
        {"type": "message", "subtype": "channel_join", "user": "U1", "ts": "1609459100.000000", "text": "joined"},
        {
            "type": "message", "user": "U1", "ts": "1609459200.000100", "thread_ts": "1609459200.000100",
            "text": "hi <@U2> and <@U7|eve>, see <https://a.example/?a=1&amp;b=2|the page> or <https://b.example>",
            "edited": {"user": "U1", "ts": "1609459300.000000"},
            "reactions": [
                {"name": "thumbsup::skin-tone-2", "users": ["U1", "U2"]}, {"name": "+1", "users": ["U1", "U8"]},
                {"name": "party-parrot", "users": ["U2"]},
            ],
        },
        {
            "type": "message", "subtype": "bot_message", "bot_id": "B1", "username": "builder", "text": "",
            "ts": "1609459201.000000", "attachments": [{"fallback": "green"}],
        },
    ],
}  # fmt: skip


def files() -> Iterator[tuple[str, object]]:
    yield "channels.json", [{"id": "C1", "name": "general"}, {"id": "C2", "name": "empty"}]
    yield "users.json", USERS
    yield from ((f"general/{day}.json", messages) for day, messages in DAYS.items())
    yield "general/../../evil.json", [{"type": "message", "ts": "1609459200.000100", "text": "not of a day"}]


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in files():
            archive.writestr(name, json.dumps(value))
    return path


def converted(export: Path, directory: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM), str(export), "--output", str(directory)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "general.ndjson: 7 messages\nempty.ndjson: 0 messages\n"
    return [json.loads(line) for line in (directory / "general.ndjson").read_text().splitlines()]


def test_text_author_time_edits_threads_and_reactions_are_kept(export: Path, tmp_path: Path) -> None:
    lines = converted(export, tmp_path / "out")
    assert [line["Id"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[0] == {
        "Id": 1, "User": "ann", "PostedAt": "2021-01-01T00:00:00.000100Z", "EditedAt": "2021-01-01T00:01:40.000000Z",
        "Message": "hi @bob and @eve, see the page (https://a.example/?a=1&b=2) or https://b.example",
        "Reactions": {"👍": ["ann", "bob", "U8"], ":party-parrot:": ["bob"]},
    }  # fmt: skip
    assert (lines[1]["User"], lines[1]["Message"]) == ("builder", "green")
    assert lines[2] == {
        "Id": 3, "User": "bob", "PostedAt": "2021-01-02T00:00:00.000200Z", "ReplyTo": 1,
        "Message": "a &lt; b <3 #plans @here @team a@b.c",
    }  # fmt: skip
    assert (lines[3]["Deleted"], lines[3]["Message"]) == (True, "")
    assert (lines[4]["User"], lines[4]["Message"]) == ("U9", "[file: a.png]")
    assert [(line["User"], len(line["Message"])) for line in lines[5:]] == [("U3", 8_000), ("U3", 1)]


def test_a_folder_gives_the_same_as_a_zip_file(export: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder" / "export"
    for name, value in files():
        if ".." not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps(value))
    assert converted(folder.parent, tmp_path / "one") == converted(export, tmp_path / "two")


def test_every_line_can_be_imported(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    converted(export, tmp_path / "out")
    chat = ChatClient()
    with at(chat, tmp_path, capsys) as terminal:
        assert terminal.run("import", "general", str(tmp_path / "out" / "general.ndjson"))[0] == 0
    posts = [json.loads(line) for line in chat.get("/rooms/general/export").data.splitlines()]
    assert [post["Id"] for post in posts] == list(range(1, 8))
    assert posts[2]["ReplyTo"] == 1


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("slack_to_ndjson", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "more",
    [
        {"text": None}, {"text": "\ud800"}, {"text": "\u200b"}, {"user": None}, {"user": "\u202e"}, {"username": "\n"},
        {"reactions": [{"name": f"e{number}", "users": [f"U{user}" for user in range(9)]} for number in range(30)]},
        {"reactions": [{}, None, {"name": "x" * 99, "users": ["U1"]}, {"name": "\u202e", "users": ["\u202e"]}]},
        {"text": "a" + "\u0301" * 40},
    ],
)  # fmt: skip
def test_odd_messages_become_lines_that_can_be_imported_or_none(more: dict[str, Any]) -> None:
    message = {"type": "message", "user": "U1", "text": "hi", "ts": "1609459200.000100", **more}
    for line in program().converted([message], {"U1": "ann"}):
        check_line("s", "line 1", json.dumps(line).encode(), NOW)
