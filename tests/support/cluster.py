"""Real nodes in real processes on 127.0.0.1: start them, kill them, pause them, and always clean up.

Processes.  A node is forked from a process that has imported raft-chat (tests/support/forked.py), unless it is given a
command of its own, which is then started: COMMAND is what people type.

Waiting.  Nothing sleeps; everything waits for a fact with a deadline.  When a test fails the nodes' logs are printed.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chat.cli import operator_file
from tests.support import forked
from tests.support.certificates import certificates, client_context
from tests.support.fork_server import ROOT
from tests.support.forked import COMMAND, Forked, Process
from tests.support.http_client import HOST, Answer, HttpClient, request
from tests.support.ports import Port
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient

__all__ = ["COMMAND", "NODE", "ROOT", "Cluster", "Forked", "NodeProcess", "Program"]
Program = Sequence[str] | Forked
NODE = Forked()

# Deadlines are for hopeless cases: several times what a node needs on two busy cores.
READY_S = 30
_BOOT = re.compile(rb'"boot": ?([0-9]+)')  # of a member, in an entry of the log
EXIT_S = 15
LOG_TAIL_BYTES = 8000  # of each node, in a failed test's report


def environment() -> dict[str, str]:
    """This process's environment without what would configure a node."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RAFT_CHAT_")}


class NodeProcess:
    """One member: its ports, its data directory, its log file, and its process where one runs."""

    def __init__(
        self,
        id: int,
        directory: Path,
        *,
        command: Program = NODE,
        host: str = HOST,
        ports: tuple[int, int] | None = None,
        is_tls: bool = False,
    ) -> None:
        """`ports`, clients' and peers', need no reserving where `host` is this node's alone.

        `is_tls`: its clients speak TLS; the files of its certificate are its own copies.
        """
        self.id = id
        self.host = host
        self.program = command
        self._reserved = () if ports else (Port(), Port())
        self.port, self.peer_port = ports or (port.number for port in self._reserved)
        self.tls = client_context() if is_tls else None
        self.url = f"{'https' if is_tls else 'http'}://{host}:{self.port}"
        self.peer_url = f"http://{host}:{self.peer_port}"
        self.data_dir = directory / f"raft-chat-{id}"
        self.log_file = directory / f"node-{id}.log"
        self.process: Process | None = None
        self.certificate, self.key = (directory / f"node-{id}.{suffix}" for suffix in ("crt", "key"))
        if is_tls:
            self.renew(certificates() / "127.0.0.1.crt", certificates() / "127.0.0.1.key")

    def renew(self, certificate: Path, key: Path) -> None:
        """Replace the files of its certificate, each at once, as certbot does."""
        for new, own in ((certificate, self.certificate), (key, self.key)):
            beside = own.with_suffix(".new")
            shutil.copy(new, beside)
            beside.replace(own)

    def command(self, *flags: str) -> list[str]:
        """What starts an interpreter of its own for it."""
        program = self.program.command() if isinstance(self.program, Forked) else self.program
        return [*program, *flags]

    def flags(self, cluster: str, *more: str) -> list[str]:
        """The seed's flags, the data directory, and the host where it is not the usual one."""
        own = ["--id", str(self.id), "--cluster", cluster, "--port", str(self.port), "--data-dir", str(self.data_dir)]
        if self.host != HOST:
            own += ["--host", self.host]
        if self.tls is not None:
            own += ["--cert", str(self.certificate), "--key", str(self.key)]
        return [*own, *more]

    def start(self, *flags: str) -> None:
        """Start its process with these flags; everything it prints goes to its log file."""
        assert not self.running, f"node {self.id} runs already"
        directory = self.log_file.parent
        with self.log_file.open("ab") as log:
            if isinstance(self.program, Forked):
                self.process = forked.start(
                    self.program, flags, number=self.id, directory=directory, environment=environment(), output=log
                )
            else:
                self.process = subprocess.Popen(
                    self.command(*flags),
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=directory, env=environment(),
                )  # fmt: skip

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """kill -9, and gone when this returns; a node that runs no more is left as it is."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def wait_exit(self, deadline_s: float = EXIT_S) -> int:
        """The exit code of a node that is expected to end by itself."""
        assert self.process is not None
        try:
            return self.process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"node {self.id} still runs after {deadline_s} s") from None

    def request(self, method: str, path: str, body: str | bytes | None = None, timeout_s: float = 15) -> Answer:
        return request(self.port, method, path, body, timeout_s, self.host, self.tls)

    def status(self, timeout_s: float = 2) -> dict[str, Any]:
        """`GET /raft`, as the operator.  Raises OSError while the node does not answer its operator."""
        with HttpClient(self.port, timeout_s, self.host, token=self.operator_token(), tls=self.tls) as client:
            answer = client.request("GET", "/raft")
        assert answer.status == 200, answer
        found = answer.json()
        assert isinstance(found, dict)
        if "ClusterId" not in found:  # the file was still that of the start before, whose operator is a stranger now
            raise ConnectionError("the node takes its operator for a stranger")
        return found

    def operator_token(self) -> str:
        """The secret that the node's operator has by its data directory; "" while there is none."""
        with suppress(OSError, ValueError):
            return operator_file.read(self.data_dir).token
        return ""

    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def wait_says(self, words: str, deadline_s: float = READY_S) -> None:
        wait_until(lambda: words in self.log(), deadline_s, f"node {self.id} says {words!r}")

    def close(self) -> None:
        self.kill()
        for port in self._reserved:
            port.release()


class Cluster:
    """Some nodes that know of each other.  Use it as a context manager: whatever happens inside, no process is left."""

    def __init__(
        self,
        directory: Path,
        size: int = 3,
        *,
        flags: Sequence[str] = (),
        command: Program = NODE,
        nodes: Sequence[NodeProcess] = (),
        is_tls: bool = False,
    ) -> None:
        """`nodes`, where they are given, are its first members, instead of `size` usual ones.

        `is_tls`: the clients of the usual ones speak TLS.
        """
        self._directory = directory
        self._flags = flags
        usual = nodes or [NodeProcess(id, directory, command=command, is_tls=is_tls) for id in range(1, size + 1)]
        self.nodes = {node.id: node for node in usual}
        self.url_list = ",".join(node.peer_url for node in self.nodes.values())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as closing:
            for node in self.nodes.values():
                closing.callback(node.close)
        if error is not None:
            self._show_logs()

    def _show_logs(self) -> None:
        """Pytest shows what is written here only where the test failed."""
        for node in self.nodes.values():
            exit_code = node.process.returncode if node.process else None
            tail = node.log()[-LOG_TAIL_BYTES:]
            sys.stderr.write(f"\n--- node {node.id}, port {node.port}, exit code {exit_code}\n{tail}")

    # --- starting and stopping ---

    def start(self, *ids: int) -> None:
        """Start these nodes, all where none is named, without waiting for anything."""
        for id in ids or self.nodes:
            self.nodes[id].start(*self.nodes[id].flags(self.url_list, *self._flags))

    def start_ready(self) -> "Cluster":
        self.start()
        self.wait_ready()
        return self

    def restart(self, *ids: int, deadline_s: float = READY_S) -> None:
        self.start(*ids)
        self.wait_ready(deadline_s)

    def kill(self, *ids: int) -> None:
        """kill -9 all of them before waiting for any: they die at once, not one after the other."""
        doomed = [self.nodes[id] for id in ids or self.nodes]
        for node in doomed:
            if node.running:
                node.signal(signal.SIGKILL)
        for node in doomed:
            node.kill()

    def terminate(self, id: int) -> int:
        """SIGTERM; the exit code."""
        self.nodes[id].signal(signal.SIGTERM)
        return self.nodes[id].wait_exit()

    @contextmanager
    def paused(self, id: int) -> Iterator[None]:
        """SIGSTOP for as long as the block runs."""
        self.nodes[id].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.nodes[id].signal(signal.SIGCONT)

    # --- who leads, who is ready ---

    def running(self) -> list[NodeProcess]:
        return [node for node in self.nodes.values() if node.running]

    def leader(self) -> int:
        """The id of the running node that leads, in the latest term that any of them knows of; 0 for none.

        Raises OSError where a running node does not answer.
        """
        statuses = [node.status() for node in self.running()]
        leaders = [(status["Term"], status["Id"]) for status in statuses if status["Leader"] == status["Id"]]
        newest_term = max((status["Term"] for status in statuses), default=0)
        return max((id for term, id in leaders if term == newest_term), default=0)

    def wait_leader(self, deadline_s: float = READY_S) -> int:
        return wait_until(lambda: self.leader() or None, deadline_s, "one of the nodes leads")

    def wait_ready(self, deadline_s: float = READY_S) -> int:
        """Every running node follows the same leader, and each has applied what was committed; the leader's id.

        That is what was committed when they were first seen to follow one: under load there is always more by the
        time that the last one is asked.
        """
        goal: list[int] = []

        def agreed() -> int | None:
            assert self.running(), "no node runs"
            statuses = [node.status() for node in self.running()]
            leaders = {status["Leader"] for status in statuses}
            founded = all(status["ClusterId"] for status in statuses)  # the first leader's first act
            if len(leaders) != 1 or leaders == {0} or not founded:
                return None
            if not goal:
                goal.append(max(status["CommitIndex"] for status in statuses))
            if any(status["LastApplied"] < goal[0] for status in statuses):
                return None
            (leader,) = leaders
            return int(leader) if self.nodes[leader].running else None

        return wait_until(agreed, deadline_s, "all nodes follow one leader and have caught up with it")

    def wait_settled(self) -> int:
        """`wait_ready`, and the leader has written what it writes by itself into a new log; the leader's id.

        These are the newest starts of the members.  Whoever counts entries counts from here.
        """

        def settled() -> int | None:
            leader = self.nodes[self.wait_ready()]
            boots = {json.loads((node.data_dir / "identity.json").read_bytes())["Boot"] for node in self.nodes.values()}
            lines = [line for file in leader.data_dir.glob("log-*") for line in file.read_bytes().splitlines()]
            if not any(boots <= {int(boot) for boot in _BOOT.findall(line)} for line in lines):
                return None
            status = leader.status()
            return leader.id if status["LastApplied"] == status["LastIndex"] else None

        return wait_until(settled, READY_S, "the start of each member is recorded")

    # --- the members ---

    def new_node(self, id: int) -> NodeProcess:
        """A node that the cluster does not know of yet, and that is not started."""
        node = self.nodes[id] = NodeProcess(id, self._directory)
        self.url_list += f",{node.peer_url}"
        return node

    def join(self, id: int) -> None:
        """Start a node the way that the seed says for one that was added."""
        self.nodes[id].start(*self.nodes[id].flags(self.url_list, "--join", *self._flags))

    def members(self, asked: int) -> dict[int, dict[str, Any]]:
        """The membership by id, as node `asked` has it."""
        return {member["Id"]: member for member in self.nodes[asked].status()["Members"]}

    # --- talking to it ---

    def ports(self, ids: Iterable[int] | None = None) -> list[int]:
        return [self.nodes[id].port for id in (ids or self.nodes)]

    def request(self, id: int, method: str, path: str, body: str | bytes | None = None) -> Answer:
        return self.nodes[id].request(method, path, body)

    @contextmanager
    def subscribed(self, id: int, cursor: str | None = None) -> Iterator[tuple[WebSocketClient, str]]:
        """A websocket of one node that gets all rooms, and the cursor of its Hello, which names every node."""
        with WebSocketClient(self.nodes[id].port, tls=self.nodes[id].tls) as client:
            greeted_at = client.subscribe(cursor=cursor)
            assert set(client.hello["Nodes"]) == {node.url for node in self.nodes.values()}
            assert client.hello["Nodes"][0] == self.nodes[id].url
            yield client, greeted_at

    def post(self, id: int, room: str, message: str, user: str = "ann", **fields: str) -> Answer:
        return self.request(id, "POST", f"/rooms/{room}", json.dumps({"Message": message, "User": user, **fields}))


def refused_start(node: NodeProcess, *flags: str) -> str:
    """Start a node that must refuse: it ends with exit code 1 and one line on stderr, which is returned."""
    done = subprocess.run(
        node.command(*flags),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=node.log_file.parent,
        env=environment(),
        timeout=EXIT_S,
    )
    assert done.returncode == 1, f"exit code {done.returncode}:\n{done.stderr}"
    assert done.stderr.count("\n") == 1, f"not one line:\n{done.stderr}"
    return done.stderr.strip()
