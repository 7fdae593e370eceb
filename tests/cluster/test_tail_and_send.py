"""`raft-chat tail` and `raft-chat send`, as processes, in pipes, while the nodes that they speak to restart."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from tests.cluster.older_copy import take_copy
from tests.support.cluster import COMMAND, Cluster, environment
from tests.support.waiting import wait_until

MESSAGES = 800
STEP = 160  # messages between two restarts
SHOWN_S = 30
ENDS_S = 20


def command(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run one command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments], input=stdin, capture_output=True, env=environment(), timeout=ENDS_S, check=False
    )


@contextmanager
def started(*arguments: str, out: IO[bytes], err: IO[bytes] | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that runs while the block does."""
    process = subprocess.Popen([*COMMAND, *arguments], stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment())
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("tail")) as running:
        yield running.start_ready()


def urls(cluster: Cluster) -> str:
    return ",".join(node.url for node in cluster.nodes.values())


def messages(cluster: Cluster, room: str) -> list[str]:
    """All messages of the room, by `tail`."""
    shown = command("tail", room, "--since", "0", "--no-follow", "--json", "--from", urls(cluster))
    assert shown.returncode == 0, shown.stderr
    return [json.loads(line)["Message"] for line in shown.stdout.splitlines()]


def restart_beside(cluster: Cluster, id: int) -> None:
    """Stop the node and start it again while messages go on: what is written to the pipe waits there meanwhile."""
    cluster.terminate(id)
    cluster.restart(id)


def test_over_a_rolling_restart_no_message_is_missed_and_none_is_shown_twice(cluster: Cluster, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    first = cluster.nodes[1].url  # of the three they know one; Hello names the others
    with (
        shown.open("wb") as out,
        started("tail", "rolling", "--since", "0", "--json", "--from", first, out=out),
        started("send", "rolling", "-", "--user", "ann", "--from", first, out=out) as sending,
    ):
        lines = sending.stdin
        assert lines is not None

        def count() -> int:
            return shown.read_bytes().count(b"\n")

        for number in range(MESSAGES):
            lines.write(b"message %d\n" % number)
            lines.flush()
            if number % STEP == STEP // 2 and number // STEP < len(cluster.nodes):
                wait_until(lambda: count() > 0, SHOWN_S, "messages are shown")
                restart_beside(cluster, number // STEP + 1)
        lines.close()
        assert sending.wait(ENDS_S) == 0
        wait_until(lambda: count() >= MESSAGES, SHOWN_S, "all messages are shown")
    posts = [json.loads(line) for line in shown.read_text().splitlines()]
    assert [post["Id"] for post in posts] == list(range(1, MESSAGES + 1))
    assert [post["Message"] for post in posts] == [f"message {number}" for number in range(MESSAGES)]


def test_a_text_and_the_lines_of_a_pipe_are_sent_in_order(cluster: Cluster) -> None:
    assert command("send", "pipe", "first\nstill first", "--from", urls(cluster)).returncode == 0
    assert command("send", "pipe", "--from", urls(cluster), stdin=b"second\r\n\nthird").returncode == 0
    assert messages(cluster, "pipe") == ["first\nstill first", "second", "third"]


def test_what_a_terminal_would_obey_is_shown_as_an_escape(cluster: Cluster) -> None:
    command("send", "escapes", "\x1b[31mred", "--user", "ann", "--from", urls(cluster))
    shown = command("tail", "escapes", "--no-follow", "--from", urls(cluster))
    assert shown.stdout.endswith(b"  ann: \\x1b[31mred\n"), shown.stdout


def test_a_refused_message_ends_with_1_and_says_which_and_why(cluster: Cluster) -> None:
    sent = command("send", "refused", "--from", urls(cluster), stdin=b"short\n" + b"x" * 8_001 + b"\n")
    assert sent.returncode == 1
    assert sent.stderr.startswith(b"raft-chat: message 2: must have 1 to 8,000 code points"), sent.stderr
    assert messages(cluster, "refused") == ["short"]


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Let a command heed SIGINT, also where the tests run in the background and inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_ends_a_tail_without_a_traceback(cluster: Cluster, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    command("send", "ended", "hello", "--from", urls(cluster))
    with shown.open("wb") as out, started("tail", "ended", "--from", urls(cluster), out=out) as tailing:
        wait_until(lambda: b"hello" in shown.read_bytes(), SHOWN_S, "the message is shown")
        tailing.send_signal(signal.SIGINT)
        assert tailing.wait(ENDS_S) == 128 + signal.SIGINT
    assert b"Traceback" not in shown.read_bytes()


def test_a_wrong_url_is_refused_in_words() -> None:
    refused = command("tail", "general", "--from", "localhost:12380")
    assert refused.returncode == 1
    assert refused.stderr == b"raft-chat: --from: 'localhost:12380' is not a URL like http://127.0.0.1:12380\n"


def test_a_tail_of_a_lost_history_says_so_and_starts_over(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as single:
        single.start_ready()
        single.post(1, "general", "kept")
        put_back = take_copy(single)
        single.post(1, "general", "lost")
        shown, said = tmp_path / "shown", tmp_path / "said"
        url = single.nodes[1].url
        with (
            shown.open("wb") as out,
            said.open("wb") as err,
            started("tail", "general", "--from", url, out=out, err=err),
        ):
            wait_until(lambda: b"lost" in shown.read_bytes(), SHOWN_S, "the message is shown")
            put_back()
            single.post(1, "general", "new")
            wait_until(lambda: b"new" in shown.read_bytes(), SHOWN_S, "the message is shown")
        texts = [line.rpartition(b": ")[2] for line in shown.read_bytes().splitlines()]
        assert texts == [b"kept", b"lost", b"kept", b"new"]
        assert b"The cluster was restored from an older copy." in said.read_bytes()
