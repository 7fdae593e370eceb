"""The commands of docs/operations.md make a cluster of three machines from nothing, each with a real systemd."""

import json
import re
import resource
import ssl
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from tests.deploy.machines import LOG, Machine, Machines, missing
from tests.deploy.wheels import make_index
from tests.faults import tools
from tests.support.cluster import ROOT
from tests.support.tools import require
from tests.support.waiting import wait_until

DEADLINE_S = 100


def commands(page: str) -> tuple[list[str], list[str]]:
    """The commands of the section, and those that come after the ten."""
    section = page[page.index("## Three machines in ten commands") :][3:].partition("\n## ")[0]
    first, _, more = section.partition("\n### ")
    block = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return block.findall(first), block.findall(more)


def ask(machine: Machine, method: str, path: str, body: object = None, token: str = "") -> tuple[int, Any]:
    """The status and the JSON of an answer, from whom the CA vouches for."""
    context = ssl.create_default_context(cadata=machine.read("/etc/raft-chat/ca.crt"))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with closing(HTTPSConnection(machine.address, 12380, timeout=DEADLINE_S, context=context)) as connection:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())


def test_the_commands_of_the_docs_make_a_cluster_of_three_machines(tmp_path: Path) -> None:
    require([*missing(), *tools.missing(tools.NETWORK)])
    ten, more = commands((ROOT / "docs" / "operations.md").read_text())
    assert len(ten) == 10
    with Machines(tmp_path) as machines:
        script = "".join([*ten, *more])
        for id, machine in enumerate(machines.machines, 1):
            script = script.replace(f"10.0.0.{id}", machine.address)
        done = machines.desk.run(script, DEADLINE_S, make_index(tmp_path))
        assert done.returncode == 0, done.stdout
        check_service(machines.machines[0])
        check_chat(machines.machines)


def check_chat(machines: list[Machine]) -> None:
    """The admin signs in and posts at one node, and reads at another; strangers may not."""
    first, second, third = machines
    status, signed_in = ask(first, "POST", "/login", {"Name": "ann", "Password": "correct horse"})
    assert status == 200, signed_in
    token = signed_in["Token"]
    assert ask(second, "POST", "/rooms/general", {"Message": "hello"}, token)[0] == 201
    assert [post["Message"] for post in ask(third, "GET", "/rooms/general", None, token)[1]] == ["hello"]
    assert ask(first, "POST", "/rooms/general", {"Message": "hi", "User": "bob"})[0] == 401


def check_service(machine: Machine) -> None:
    """The unit's limits hold, its status is the node's, and it stops at once."""
    told = re.compile(r"Node 1 (leads|follows node \d) in term")  # a second after the leader has changed
    wait_until(lambda: told.search(machine.run("systemctl", "show", "raft-chat")), DEADLINE_S, "its status is told")
    assert machine.run("systemctl", "is-enabled", "raft-chat") == "enabled\n"
    pid = int(machine.run("systemctl", "show", "raft-chat", "--property=MainPID", "--value"))
    status = machine.read(f"/proc/{pid}/status")
    for line in (r"Uid:\t[1-9]\d+", r"CapBnd:\t0+$", r"NoNewPrivs:\t1", r"Seccomp:\t2"):
        assert re.search(f"^{line}", status, re.MULTILINE), status
    allowed = min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])  # the machine below may not raise its own
    assert re.search(rf"Max open files +{allowed} ", machine.read(f"/proc/{pid}/limits"))
    properties = machine.run("systemctl", "show", "raft-chat", "--property=ActiveState,Result,ExecMainStatus")
    assert properties.splitlines() == ["Result=success", "ExecMainStatus=0", "ActiveState=active"]
    log = machine.read(LOG)
    assert log.count("serves clients at") == 2 and log.count("has stopped") == 1, log
    assert "Traceback" not in log
