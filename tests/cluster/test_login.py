"""How a login begins on real nodes, and how it ends: the set-up token, the operator's file and the sub-commands."""

import json
import re
import subprocess
from pathlib import Path

from chat.cli import operator_file
from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, operator, wait_login, wait_open
from tests.support.cluster import COMMAND, READY_S, Cluster, NodeProcess, environment
from tests.support.http_client import HttpClient
from tests.support.waiting import wait_until

SETUP = re.compile(r"set up the first account at (\S+)/ with the token (su_\S+)")


def run(node: NodeProcess, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """A sub-command beside a node: its exit code and all it says."""
    done = subprocess.run(
        [*COMMAND, *arguments, "--data-dir", str(node.data_dir)],
        input=stdin, capture_output=True, text=True, env=environment(), timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def told_token(node: NodeProcess) -> str:
    """The set-up token that a node has told last."""
    node.wait_says("set up the first account")
    url, token = SETUP.findall(node.log())[-1]
    assert url == node.url
    return str(token)


def set_up(node: NodeProcess, token: str, name: str = "ann") -> tuple[int, str]:
    answer = node.request("POST", "/setup", json.dumps({"Token": token, "Name": name, "Password": PASSWORD}))
    return answer.status, answer.json().get("code", "")


def test_the_first_admin_is_made_with_the_token_that_a_node_tells(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        wait_login(cluster)
        one, two = cluster.nodes[1], cluster.nodes[2]
        token = told_token(one)
        assert told_token(two) != token
        assert set_up(two, token) == (401, "bad_token")
        assert set_up(one, token)[0] == 201
        assert set_up(one, token, "bob") == (409, "set_up_done")
        assert set_up(two, told_token(two), "bob") == (409, "set_up_done")
        before = two.log().count("set up the first account")
        assert cluster.terminate(2) == 0
        cluster.restart(2)
        wait_login(cluster)
        assert two.log().count("set up the first account") == before


def test_the_operators_file_is_its_owners_and_another_one_at_each_start(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.start_ready().nodes[1]
        path = node.data_dir / operator_file.NAME
        assert path.stat().st_mode & 0o777 == 0o600
        old = operator_file.read(node.data_dir)
        assert old.url == node.url
        cluster.kill()
        (node.data_dir / f"{operator_file.NAME}.tmp").write_bytes(b"half of it")  # as a crash would leave it
        cluster.restart()
        new = operator_file.read(node.data_dir)
        assert new.token != old.token
        for token, status in ((old.token, 401), (new.token, 200)):
            with HttpClient(node.port, token=token) as client:
                assert client.request("GET", "/users").status == status
        assert new.token not in node.log()


def test_an_open_cluster_turns_to_a_login_and_back_by_sub_commands(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        two = cluster.nodes[2]
        assert cluster.post(1, "general", "anybody's").status == 201

        def added() -> bool:  # once all members know how
            code, said = run(two, "user", "add", "ann", "--admin", "--password-stdin", stdin=f"{PASSWORD}\n")
            assert code == 0 or "upgrade" in said, said
            return code == 0

        wait_until(added, READY_S, "ann is made")
        assert run(two, "user", "list") == (0, "ann\tadmin\tactive\tann\n")
        assert run(two, "auth", "login", "--signup", "open") == (0, "Everybody has to sign in.\n")
        wait_login(cluster)
        for id in cluster.nodes:
            assert cluster.post(id, "general", "anybody's").status == 401
            answer = cluster.request(id, "POST", "/login", json.dumps({"Name": "ann", "Password": PASSWORD}))
            assert answer.status == 200
        assert cluster.request(3, "POST", "/users", json.dumps({"Name": "zoe", "Password": PASSWORD})).status == 201
        code, said = run(cluster.nodes[3], "auth", "open")
        assert code == 0 and "--auth login" in said
        wait_open(cluster)
        assert cluster.post(1, "general", "anybody's").status == 201
        cluster.kill()
        code, said = run(two, "user", "list")
        assert code == 1 and said.count("\n") == 1 and "No node answers" in said


def test_one_node_with_the_flag_is_enough_and_turns_it_back(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start(1, 3)
        cluster.nodes[2].start(*cluster.nodes[2].flags(cluster.url_list, *FLAGS, "--signup", "open"))
        wait_login(cluster)
        with operator(cluster.nodes[1]) as client:
            assert client.request("PATCH", "/settings", '{"Auth":"open"}').status == 200
        wait_login(cluster)
        assert cluster.post(1, "general", "anybody's").status == 401
        with operator(cluster.nodes[3]) as client:
            assert client.request("GET", "/settings").json()["Signup"] == "open"


def test_a_node_that_is_to_have_a_login_serves_nobody_before_there_is_one(tmp_path: Path) -> None:
    """Its majority is away when it is started anew with the flag."""
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "anybody's").status == 201
        cluster.kill()
        node = cluster.nodes[1]
        node.start(*node.flags(cluster.url_list, *FLAGS))
        wait_until(lambda: node.status()["ClusterId"], READY_S, "it has read its log")
        assert node.request("GET", "/rooms/general?consistency=stale").json()["code"] == "starting"
        assert node.request("POST", "/rooms/general", '{"Message":"m","User":"ann"}').json()["code"] == "starting"
        assert node.request("GET", "/me").json()["code"] == "starting"
        assert node.request("GET", "/").status == 200
        assert set(node.request("GET", "/raft").json()) == {"Id", "Leader", "Term", "Role"}
        cluster.start(2, 3)
        wait_login(cluster)


def test_that_a_flag_does_not_open_what_asks_for_a_login_is_one_warning(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        node.start(*node.flags(cluster.url_list, *FLAGS))
        wait_login(cluster)
        cluster.kill()
        node.start(*node.flags(cluster.url_list), "--auth", "open")
        node.wait_says("users have to sign in here, whatever --auth open says")
        wait_login(cluster)
