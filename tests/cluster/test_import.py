"""An import into a real cluster, of which nodes are killed meanwhile; the command is killed too, and run again."""

import json
import subprocess
from pathlib import Path

from chat.cli import operator_file
from tests.support.cluster import COMMAND, Cluster, environment
from tests.support.curl import curl
from tests.support.waiting import wait_until

MESSAGES = 2_500
SOON_S = 20
ENDS_S = 60


def export(path: Path) -> Path:
    """A file of messages, some of which are replies; its Ids have gaps."""
    with path.open("w") as file:
        for number in range(1, MESSAGES + 1):
            line: dict[str, object] = {
                "Id": 3 * number, "User": f"u{number % 7}", "Message": f"m{number}",
                "PostedAt": f"2020-01-01T00:00:{number % 60:02}Z", "ClientId": f"c{number}",
            }  # fmt: skip
            if number % 50 == 0:
                line["ReplyTo"] = 3 * (number - 40)
            file.write(f"{json.dumps(line)}\n")
    return path


def started(cluster: Cluster, file: Path, id: int) -> "subprocess.Popen[bytes]":
    """The command, which is told of one node alone and has the token of that one."""
    node = cluster.nodes[id]
    token = operator_file.read(node.data_dir).token
    command = [*COMMAND, "import", "general", str(file), "--from", node.url, "--token", token]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())


def count(cluster: Cluster, id: int) -> int:
    page = cluster.request(id, "GET", "/rooms/general?limit=1&consistency=stale").json()
    return int(page[-1]["Id"]) if page else 0


def test_nothing_is_doubled_and_nothing_is_missing_after_an_import_that_was_killed_with_the_cluster(
    tmp_path: Path,
) -> None:
    file = export(tmp_path / "export.ndjson")
    with Cluster(tmp_path) as cluster:
        leader = cluster.start_ready().wait_leader()
        first, second = (id for id in cluster.nodes if id != leader)
        importing = started(cluster, file, first)
        wait_until(lambda: count(cluster, first) > 0, SOON_S, "messages come")
        cluster.kill(leader)
        cluster.kill(first, second)
        importing.kill()
        importing.communicate()
        cluster.restart(1, 2, 3)
        before = count(cluster, cluster.wait_ready())
        assert 0 < before < MESSAGES

        importing = started(cluster, file, second)  # at another node, as if from another machine
        wait_until(lambda: count(cluster, second) > before, SOON_S, "messages come again")
        leader = cluster.wait_leader()
        cluster.kill(first if leader == second else leader)
        out, error = importing.communicate(timeout=ENDS_S)
        assert importing.returncode == 0, error
        assert b"of this file were there before" in out

        posts = [json.loads(line) for line in curl(f"{cluster.nodes[second].url}/rooms/general/export").splitlines()]
        assert [(post["Id"], post["Message"]) for post in posts] == [(n, f"m{n}") for n in range(1, MESSAGES + 1)]
        replies = {post["Id"]: post["ReplyTo"] for post in posts if "ReplyTo" in post}
        assert replies == {number: number - 40 for number in range(50, MESSAGES + 1, 50)}
