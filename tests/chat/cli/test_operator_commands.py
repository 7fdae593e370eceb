"""`status`, `member` and `lead` at a node: what is asked of it, what is shown, and which node is asked next."""

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import raft_chat
from chat.cli import operator_file
from chat.cli.member import start_command
from chat.cli.operator_file import OperatorFile
from chat.cli.options import read_options
from chat.logs.log_lines import escaped
from chat.process.sub_commands import SUB_COMMANDS
from raft.core.configuration import AddMember, MoveMember, PlanPromotion, RemoveMember
from raft.errors import ChangeRefused, OutcomeUnknown, Unavailable
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient
from tests.chat.login_client import LoginClient
from tests.chat.wire import serving
from tests.support.cluster import ROOT
from tests.support.ports import Port

ROW: dict[str, object] = {
    "Id": 2, "Url": "http://10.0.0.2:12379", "Voting": True, "Advertise": "http://10.0.0.2:12380", "Level": 1,
    "Role": "follower", "Term": 5, "LastApplied": 1, "Version": "0.1.0", "DiskFreeBytes": 5 << 30, "HeardMs": 20,
    "ClockOffsetMs": -12,
}  # fmt: skip


class Terminal:
    """Somebody who runs commands beside a node."""

    def __init__(self, chat: ChatClient, port: int, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.chat = chat
        self.url = f"http://127.0.0.1:{port}"
        self.data_dir = data_dir
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """The exit code, stdout, stderr."""
        code = raft_chat.main([*arguments, "--data-dir", str(self.data_dir)])
        return (code, *self._capsys.readouterr())

    def fails(self, *arguments: str, code: int = 1) -> str:
        """The one line that says why."""
        found, out, error = self.run(*arguments)
        assert (found, out, error.count("\n")) == (code, "", 1), error
        assert error.startswith("raft-chat: ")
        return error


@contextmanager
def at(chat: ChatClient, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with serving(chat.app) as server:
        file = OperatorFile(f"http://127.0.0.1:{server.port}", OPERATORS_SECRET)
        (data_dir / operator_file.NAME).write_bytes(operator_file.encode(file))
        yield Terminal(chat, server.port, data_dir, capsys)


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    chat = ChatClient()
    chat.replica.members = [{**ROW, "Id": 1, "HeardMs": 0}, ROW]
    with at(chat, tmp_path, capsys) as terminal:
        yield terminal


def dead_url() -> str:
    with_port = Port()
    with_port.release()
    return f"http://127.0.0.1:{with_port.number}"


# status


def test_the_members_are_a_table(terminal: Terminal) -> None:
    code, out, _ = terminal.run("status")
    assert code == 0
    headline, titles, first, second = out.splitlines()
    assert headline == "cluster -, leader 1, term 1, commit index -, as member 1 knows it"
    assert titles.split() == ["id", "role", "term", "lag", "heard", "version", "disk", "free", "clock", "url"]
    assert first.split()[:3] == ["*", "1", "leader"]
    assert " ".join(second.split()) == "2 follower 5 - now 0.1.0 5.0 GiB -12 ms http://10.0.0.2:12380"
    assert terminal.chat.replica.asked == 1


def shown(terminal: Terminal, **changed: object) -> list[str]:
    """The cells of member 2's row, by two spaces or more."""
    row = {name: value for name, value in {**ROW, **changed}.items() if value is not None}
    terminal.chat.replica.members = [row]
    return terminal.run("status")[1].splitlines()[-1].split()


@pytest.mark.parametrize(
    ("changed", "cells"),
    [
        ({"HeardMs": None}, ["away", "never"]),
        ({"HeardMs": 12_400}, ["away", "12 s ago"]),
        ({"HeardMs": 7_300_000}, ["away", "2 h ago"]),
        ({"Voting": False}, ["no vote"]),
        ({"Voting": False, "HeardMs": None}, ["away, no vote"]),
        ({"Role": "candidate"}, ["candidate"]),
        ({"Version": None, "DiskFreeBytes": None, "ClockOffsetMs": None}, ["- - - http"]),
        ({"DiskFreeBytes": 700 << 10, "ClockOffsetMs": 3_600_000}, ["700.0 KiB", "+3600 s"]),
        ({"Advertise": ""}, ["http://10.0.0.2:12379"]),
        ({"Version": "1\x1b[2J\n"}, [escaped("1\x1b[2J\n")]),
    ],
)
def test_a_row_says_what_is_known_of_a_member(
    terminal: Terminal, changed: dict[str, object], cells: Sequence[str]
) -> None:
    row = " ".join(shown(terminal, **changed))
    assert all(cell in row for cell in cells), row


def test_the_lag_is_what_is_committed_and_not_applied(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {**terminal.chat.replica.status(), "CommitIndex": 9}
    monkeypatch.setattr(terminal.chat.replica, "status", lambda: found)
    assert [line.split()[-8:-7] for line in terminal.run("status")[1].splitlines()[-2:]] == [["8"], ["8"]]


def test_json_is_what_the_node_answers(terminal: Terminal) -> None:
    code, out, _ = terminal.run("status", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(terminal.chat.replica.status()))


def test_a_node_that_knows_no_leader_or_starts_says_so(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {**terminal.chat.replica.status(), "Leader": 0}
    monkeypatch.setattr(terminal.chat.replica, "status", lambda: found)
    assert "member 1 knows no leader: it reaches no majority of the nodes" in terminal.run("status")[1]
    found["WaitingFor"] = "members 2 and 3"
    assert "member 1 is starting: members 2 and 3" in terminal.run("status")[1]


def test_the_node_that_is_asked_is_not_away_though_it_says_nothing_of_itself(terminal: Terminal) -> None:
    terminal.chat.replica.members = [{"Id": 1, "Url": "http://a:1", "Voting": True, "Advertise": ""}]
    assert terminal.run("status")[1].splitlines()[-1].split()[:3] == ["*", "1", "leader"]


def test_a_stranger_is_told_to_prove_who_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chat = LoginClient()
    with at(chat, tmp_path, capsys) as terminal:
        assert "only to users" in terminal.fails("status", "--from", terminal.url)
        assert "does not know this token" in terminal.fails("lead", "1", "--from", terminal.url, "--token", "to_wrong")


def test_strangers_have_nobody_asked(tmp_path: Path) -> None:
    chat = LoginClient()
    assert chat.get("/raft?refresh=true").status_code == 200
    assert chat.replica.asked == 0


def test_the_next_node_is_asked_if_one_does_not_answer(terminal: Terminal) -> None:
    assert terminal.run("status", "--from", f"{dead_url()},{terminal.url}")[0] == 0
    assert "No node answers at http://" in terminal.fails("status", "--from", dead_url())
    assert "is not a URL like" in terminal.fails("status", "--from", f"{terminal.url},x")


@pytest.mark.parametrize(
    "url", [f"http://{'a' * 64}.example", "http://127.0.0.1/ü", "http://127.0.0.1/a b", "http://h/?a"]
)
def test_a_url_that_no_request_can_have_is_refused_in_words(terminal: Terminal, url: str) -> None:
    assert "is not a URL like" in terminal.fails("status", "--from", url)


@pytest.mark.parametrize("token", ["rc_€", "rc_ü", "a b"])
def test_a_token_that_no_request_can_have_is_refused_without_showing_it(terminal: Terminal, token: str) -> None:
    told = terminal.fails("status", "--from", terminal.url, "--token", token)
    assert "--token" in told
    assert token not in told


def test_bad_intervals_are_refused(terminal: Terminal) -> None:
    assert "--interval" in terminal.fails("status", "--watch", "--interval", "nan")


@pytest.mark.parametrize(
    ("redirected", "told"),
    [
        (">/dev/full", "raft-chat: the output cannot be written: No space left on device"),
        (">&-", "raft-chat: stdout is closed. Redirect it to a file, or to /dev/null."),
    ],
)
def test_a_stdout_that_takes_nothing_is_told_in_one_line(terminal: Terminal, redirected: str, told: str) -> None:
    command = shlex.join([sys.executable, "-m", "raft_chat", "status", "--data-dir", str(terminal.data_dir)])
    done = subprocess.run(["sh", "-c", f"{command} {redirected}"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.splitlines()) == (1, [told])


def test_no_file_gets_the_number_of_a_standard_descriptor_that_is_closed(tmp_path: Path) -> None:
    places = tmp_path / "places"
    code = f"""
import os, raft_chat
raft_chat.main(["version"])
with open({str(places)!r}, "w") as file:
    file.write(" ".join(os.readlink(f"/proc/self/fd/{{number}}") for number in range(3)))
"""
    command = shlex.join([sys.executable, "-c", code])
    subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], cwd=ROOT, check=True, timeout=60)
    assert places.read_text() == " ".join(["/dev/null"] * 3)


# member and lead


def test_each_change_is_what_the_cluster_is_asked_for(terminal: Terminal) -> None:
    url = "http://10.0.0.4:12379"
    code, out, _ = terminal.run("member", "add", "4", url)
    assert code == 0
    assert "It votes once it has caught up." in out
    command = (
        f"raft-chat --id 4 --cluster 1=http://10.0.0.2:12379,2=http://10.0.0.2:12379,4={url} --port 12380 "
        "--host 10.0.0.4 --join"
    )
    assert out.splitlines()[2] == f"  {command}"
    assert "Give it the cluster's --cluster-secret-file too" in out
    assert "It does not vote." in terminal.run("member", "add", "5", url, "--no-vote")[1]
    assert terminal.run("member", "promote", "5") == (0, "Member 5 votes.\n", "")
    assert "Restart it with this URL" in terminal.run("member", "move", "5", f"{url}/")[1]
    assert "Removed member 5." in terminal.run("member", "remove", "5", "--yes")[1]
    assert terminal.run("lead", "2") == (0, "Member 2 leads.\n", "")
    assert terminal.chat.replica.changes == [
        AddMember(4, url, True), AddMember(5, url, False), PlanPromotion(5), MoveMember(5, url), RemoveMember(5),
    ]  # fmt: skip
    assert terminal.chat.replica.transfers == [2]


def test_an_addition_is_done_though_the_cluster_cannot_be_shown(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.chat.replica, "status", lambda: {"Role": "starting"})
    code, out, _ = terminal.run("member", "add", "4", "http://127.0.0.1:42379")
    assert code == 0
    assert out.startswith("Added member 4") and "how to start it is not known" in out


def test_with_json_each_change_prints_an_object(terminal: Terminal) -> None:
    added = json.loads(terminal.run("member", "add", "4", "http://127.0.0.1:42379", "--json")[1])
    assert added.pop("Command").endswith("4=http://127.0.0.1:42379 --port 42380 --join")
    assert added == {"Id": 4, "Done": "added", "Url": "http://127.0.0.1:42379", "Voting": True}
    assert json.loads(terminal.run("member", "remove", "4", "--yes", "--json")[1]) == {"Id": 4, "Done": "removed"}
    assert json.loads(terminal.run("lead", "4", "--json")[1]) == {"Id": 4, "Done": "leads"}


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ChangeRefused("unknown_member", "there is no member 9"), 1, "there is no member 9"),
        (ChangeRefused("change_in_progress", "another change is under way"), 1, "another change is under way"),
        (Unavailable("no leader with a majority can be reached"), 1, "no leader with a majority can be reached"),
        (Unavailable("red \x1b[31m\n"), 1, r"red \x1b[31m\n"),
        (OutcomeUnknown("red \x1b[31m"), 3, r"red \x1b[31m"),
        (OutcomeUnknown("no majority confirmed it in time"), 3, "no majority confirmed it in time. raft-chat status"),
    ],
)
def test_a_change_that_is_not_made_is_said_in_words(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    def fail(change: object) -> None:
        raise error

    monkeypatch.setattr(terminal.chat.replica, "change", fail)
    assert words in terminal.fails("member", "remove", "9", "--yes", code=code)


def test_a_promotion_of_a_member_that_is_away_says_that(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(change: object) -> None:
        raise OutcomeUnknown("member 2 has not caught up yet; it will vote once it has caught up")

    monkeypatch.setattr(terminal.chat.replica, "change", fail)
    assert "has not caught up" in terminal.fails("member", "promote", "2", code=3)
    terminal.chat.replica.members = [{**ROW, "HeardMs": 60_000}]
    said = terminal.fails("member", "promote", "2", code=3)
    assert "Member 2 does not answer at http://10.0.0.2:12379; it votes once it has caught up" in said


@pytest.mark.parametrize("id", ["0", "-1", "x", "9999999999", ""])
def test_an_id_that_is_none_is_refused_before_a_node_is_asked(terminal: Terminal, id: str) -> None:
    for command in (("lead",), ("member", "remove", "--yes"), ("member", "promote")):
        assert "raft-chat: " in terminal.fails(*command, id)
    assert terminal.chat.replica.changes == []


def test_a_url_that_is_none_is_refused_before_a_node_is_asked(terminal: Terminal) -> None:
    assert "URL: must be a URL" in terminal.fails("member", "add", "4", "10.0.0.4:12379")
    assert "URL: must be a URL" in terminal.fails("member", "move", "4", "http://10.0.0.4")
    assert terminal.chat.replica.changes == []


def test_a_removal_asks_first(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Pass --yes" in terminal.fails("member", "remove", "2")
    answers = io.StringIO("n\n\nyes\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdin", answers)
    for _ in range(2):
        assert terminal.run("member", "remove", "2")[0] == 1
    assert terminal.chat.replica.changes == []
    code, out, asked = terminal.run("member", "remove", "2")
    assert (code, asked) == (0, "Remove member 2 for good? Its id cannot be used again. [y/N] ")
    assert "Removed member 2." in out
    assert terminal.chat.replica.changes == [RemoveMember(2)]


def test_a_change_goes_to_the_next_node_where_one_cannot_take_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[object] = []

    def fail_once(change: object) -> None:
        tries.append(change)
        if len(tries) == 1:
            raise Unavailable("no leader can be reached")

    monkeypatch.setattr(terminal.chat.replica, "change", fail_once)
    assert terminal.run("member", "promote", "2", "--from", f"{terminal.url},{terminal.url}")[0] == 0
    assert len(tries) == 2


def test_the_printed_command_starts_a_node_of_this_version() -> None:
    command = start_command({"Members": [{"Id": 1, "Url": "http://10.0.0.1:12379"}]}, 4, "http://[::1]:42379")
    program, *flags = shlex.split(command)
    assert program == "raft-chat"
    options = read_options([*flags, "--insecure-peers"], {})
    assert (options.id, options.port, options.join) == (4, 42380, True)
    assert options.members == {1: "http://10.0.0.1:12379", 4: "http://[::1]:42379"}


COMMANDS = {
    "status": ("status",),
    "member": ("member", "promote", "2"),
    "lead": ("lead", "2"),
    "tail": ("tail", "general"),
    "verify": ("verify", "nothing"),
    "doctor": ("doctor", "nothing"),
}


def test_each_command_with_json_is_in_this_file() -> None:
    files = [ROOT / "chat" / "cli" / f"{module.replace('.', '/')}.py" for module in SUB_COMMANDS.values()]
    with_json = {name for name, file in zip(SUB_COMMANDS, files, strict=True) if '"--json"' in file.read_text("utf-8")}
    assert with_json == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_of_a_command_with_json_is_an_object(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = ("--from", "ftp://a") if name not in ("verify", "doctor") else ("--",)
    for wrong in (("--json", *at), ("--json", "--no-such-option")):
        assert raft_chat.main([*COMMANDS[name], *wrong]) == 1
        out, error = capsys.readouterr()
        assert (out, [*json.loads(error)]) == ("", ["error"]), error


def test_a_change_whose_outcome_is_not_known_is_an_object_too(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(asked: object) -> None:
        raise OutcomeUnknown("no majority confirmed the change in time")

    monkeypatch.setattr(terminal.chat.replica, "change", change)
    code, out, error = terminal.run("member", "promote", "2", "--json")
    assert (code, out) == (3, "")
    assert "raft-chat status shows what became of the change" in json.loads(error)["error"]
