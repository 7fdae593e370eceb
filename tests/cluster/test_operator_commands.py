"""`raft-chat status`, `member` and `lead`, as processes and over every node, while nodes are away and come back."""

import io
import json
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest.mock import patch

import pytest

import raft_chat
from chat.cli.status import AWAY_MS
from tests.support.cluster import COMMAND, READY_S, Cluster, environment
from tests.support.waiting import wait_until

ENDS_S = 20
AWAY_SOON_MS = 1000  # twice the time in which members are to answer


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("operator")) as running:
        yield running.start_ready()


def command(*arguments: str) -> tuple[int, str, str]:
    """Run a command in this process, which is sooner; its exit code, stdout and stderr."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    try:
        with (
            redirect_stdout(io.StringIO()) as out,
            redirect_stderr(io.StringIO()) as error,
            patch("os.nice"),  # it would be for this process
        ):
            code = raft_chat.main(arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    return code, out.getvalue(), error.getvalue()


def done(*arguments: str) -> str:
    """Run a command that succeeds; its stdout."""
    code, out, error = command(*arguments)
    assert (code, error) == (0, "")
    return out


def failed(code: int, *arguments: str) -> str:
    """Run a command that does not; its one line on stderr."""
    found, out, error = command(*arguments)
    assert (found, out, error.count("\n")) == (code, "", 1), error
    return error


def rows(cluster: Cluster, asked: int) -> dict[int, dict[str, Any]]:
    status = json.loads(done("status", "--json", "--data-dir", str(cluster.nodes[asked].data_dir)))
    return {row["Id"]: row for row in status["Members"]}


def from_all(cluster: Cluster, first: int) -> str:
    """`--from`, with this node first."""
    ids = sorted(cluster.nodes, key=lambda id: id != first)
    return ",".join(cluster.nodes[id].url for id in ids)


def test_each_node_shows_all_of_them(cluster: Cluster) -> None:
    leader = cluster.wait_ready()
    for asked in cluster.nodes:
        shown = rows(cluster, asked)
        assert sorted(shown) == [1, 2, 3]
        assert [id for id, row in shown.items() if row["Role"] == "leader"] == [leader]
        for row in shown.values():
            assert row["HeardMs"] < 1000
            assert abs(row["ClockOffsetMs"]) < 1000  # it is one machine's clock
            assert row["DiskFreeBytes"] > 0 and row["Version"]
    table = done("status", "--from", cluster.nodes[1].url).splitlines()
    assert table[0].endswith("as member 1 knows it")
    assert [line.split()[-1] for line in table[2:]] == [node.url for node in cluster.nodes.values()]


def test_leadership_moves_over_every_node(cluster: Cluster) -> None:
    for asked, target in ((1, 2), (2, 3), (3, 1)):
        assert done("lead", str(target), "--from", cluster.nodes[asked].url) == f"Member {target} leads.\n"
        shown = json.loads(done("status", "--json", "--from", cluster.nodes[asked].url))
        assert shown["Leader"] == target
    assert "there is no member 9" in failed(1, "lead", "9", "--from", cluster.nodes[1].url)


def test_a_node_is_added_by_the_printed_command_promoted_and_removed(cluster: Cluster) -> None:
    new = cluster.new_node(4)
    added = json.loads(done("member", "add", "4", new.peer_url, "--no-vote", "--json", "--from", from_all(cluster, 2)))
    assert (added["Done"], added["Voting"]) == ("added", False)
    words = added["Command"].split()
    words[words.index("--port") + 1] = str(new.port)  # the one above its peers' port may be taken here
    new.start(*words[1:], "--data-dir", str(new.data_dir))
    wait_until(lambda: rows(cluster, 2)[4].get("HeardMs", 9e9) < AWAY_MS, READY_S, "the new node answers")
    promoted = done("member", "promote", "4", "--from", from_all(cluster, 3))
    assert promoted == "Member 4 votes.\n"
    assert rows(cluster, 1)[4]["Voting"] is True

    with_pty = b"Remove member 4 for good?"
    answered = at_terminal(["member", "remove", "4", "--from", from_all(cluster, 1)], with_pty, b"yes\n")
    assert b"Removed member 4." in answered
    assert new.wait_exit() == 0
    assert sorted(rows(cluster, 3)) == [1, 2, 3]
    said = failed(1, "member", "add", "4", new.peer_url, "--from", from_all(cluster, 1))
    assert "ids are never used again" in said
    del cluster.nodes[4]
    new.close()


def test_a_node_without_a_secret_takes_no_member_on_another_machine_and_none_at_the_url_of_another_one(
    cluster: Cluster,
) -> None:
    for action in ("add", "move"):
        for asked in cluster.nodes:
            said = failed(1, "member", action, "3", "http://10.0.0.9:12379", "--from", cluster.nodes[asked].url)
            assert "--cluster-secret-file" in said and "--insecure-peers" in said
    said = failed(1, "member", "move", "3", cluster.nodes[2].peer_url, "--from", cluster.nodes[1].url)
    assert f"member 2 has the URL {cluster.nodes[2].peer_url}" in said
    assert [row["Url"] for row in rows(cluster, 1).values()] == [node.peer_url for node in cluster.nodes.values()]


def at_terminal(arguments: list[str], awaited: bytes, answer: bytes) -> bytes:
    """Run a command at a terminal, answer what it asks, and return all that it showed."""
    ours, its = pty.openpty()
    process = subprocess.Popen([*COMMAND, *arguments], stdin=its, stdout=its, stderr=its, env=environment())
    os.close(its)
    try:
        shown = read_until(ours, awaited)
        os.write(ours, answer)
        shown += read_until(ours, b"")
        assert process.wait(ENDS_S) == 0
        return shown
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def read_until(descriptor: int, awaited: bytes) -> bytes:
    """Read a terminal until it has shown this; b"": until its process has ended."""
    shown = b""
    while not awaited or awaited not in shown:
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # its process has ended
            piece = b""
        if not piece:
            assert not awaited, shown
            break
        shown += piece
    return shown


def test_a_table_that_is_watched_is_drawn_again_in_its_place_until_ctrl_c(cluster: Cluster) -> None:
    arguments = ["status", "--watch", "--interval", "0.2", "--from", cluster.nodes[1].url]
    ours, its = pty.openpty()
    process = subprocess.Popen([*COMMAND, *arguments], stdin=its, stdout=its, stderr=its, env=environment(),
                               start_new_session=True, preexec_fn=heed_ctrl_c)  # fmt: skip
    os.close(its)
    try:
        first = read_until(ours, b"\x1b[J")
        second = read_until(ours, b"\x1b[J")
        process.send_signal(signal.SIGINT)
        assert process.wait(ENDS_S) == 128 + signal.SIGINT
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    for drawing in (first, second):
        lines = re.sub(rb"\x1b\[[HJK]", b"", drawing).decode().splitlines()
        assert [line.split()[-1] for line in lines[2:5]] == [node.url for node in cluster.nodes.values()]
    assert first.startswith(b"\x1b[H") and b"\x1b[H" in second


def heed_ctrl_c() -> None:
    """Heed SIGINT also where the tests run in the background and inherit that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_dead_node_is_away_and_the_next_one_is_asked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.cli.status.AWAY_MS", AWAY_SOON_MS)
    leader = cluster.wait_ready()
    dead = next(id for id in cluster.nodes if id != leader)
    other = next(id for id in cluster.nodes if id not in (leader, dead))
    cluster.kill(dead)
    wait_until(lambda: rows(cluster, other)[dead]["HeardMs"] > AWAY_SOON_MS, READY_S, "the dead node is away")
    table = done("status", "--from", from_all(cluster, dead))
    row = next(line.split() for line in table.splitlines() if line.endswith(cluster.nodes[dead].url))
    assert row[:2] == [str(dead), "away"]
    assert done("lead", str(leader), "--from", from_all(cluster, dead)) == f"Member {leader} leads.\n"
    wait_until(
        lambda: "does not answer" in command("lead", str(dead), "--from", cluster.nodes[other].url)[2],
        READY_S,
        "a dead node is refused as the leader",
    )
    said = failed(1, "member", "remove", str(other), "--yes", "--from", cluster.nodes[leader].url)
    assert "no reachable majority" in said
    cluster.kill(leader)
    wait_until(lambda: not cluster.nodes[other].status()["Leader"], READY_S, "nobody leads")
    assert f"member {other} knows no leader" in done("status", "--from", from_all(cluster, dead))
    said = failed(1, "member", "promote", str(dead), "--from", from_all(cluster, dead))
    assert "no leader with a majority can be reached" in said
    cluster.kill(other)
    assert "No node answers at" in failed(1, "status", "--from", from_all(cluster, dead))
    cluster.restart()


def test_a_node_is_moved_by_another_node(cluster: Cluster) -> None:
    same = cluster.nodes[3].peer_url
    moved = done("member", "move", "3", same, "--from", cluster.nodes[1].url)
    assert moved == f"The other nodes look for member 3 at {same}. Restart it with this URL in --cluster.\n"
    assert "there is no member 9" in failed(1, "member", "move", "9", same, "--from", cluster.nodes[1].url)
