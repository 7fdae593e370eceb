"""The examples of a page of documentation, and how they are carried out on a real cluster.

An example is a `sh` block that calls `curl`, or `raft-chat` for something else than to start a node, and a `curl` at
the end of a table's row.  A page's are carried out in their order, on one cluster, in one directory, with the ports
that the cluster has in place of the written ones: 12380, 22380 … for the clients of node 1, 2 … and 12379, 22379 … for
their peers.  `curl` is the real one.  All its answers have to be 2xx (or 101, of a websocket), unless a comment that no
reader sees stands before the block or the table and says otherwise: `<!-- answers 409 -->`.  Others have something
happen to the cluster: `<!-- kills 1 -->`, `<!-- starts 1 -->`, `<!-- joins 4 -->`.  The variables of _KEEP that a block
sets are there for those after it.
"""

import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.cluster import ROOT, Cluster, environment

TIMEOUT_S = 30
_PART = re.compile(
    r"^<!-- (?P<word>\w+) (?P<number>\d+) -->$|^```sh\n(?P<block>.*?)^```$|^\| [^\n]* `(?P<row>curl [^`\n]*)` \|$",
    re.MULTILINE | re.DOTALL,
)
_STARTS_A_NODE = re.compile(r"raft-chat( +--(id|auth|signup|data-dir)\b.*)?$|/pip |/pytest")
_FIRST_MACHINE = re.compile(r"\b10\.0\.0\.1\b")  # of three; here all nodes are on this one
_PORT = re.compile(r"\b([1-9])23(79|80)\b")

# The real ones: curl says no more than errors, writes down the status of each answer, and ends a stream after a while.
_CURL = """#!/bin/sh
limit=20
for word; do [ "$word" = -N ] && limit=1; done
{curl} -sS --max-time $limit -w '%{{stderr}}%{{http_code}}\\n' "$@" 2>>"$EXAMPLES/answers"
result=$?
[ $result = 28 ] && [ $limit = 1 ] && result=0
exit $result
"""
_RAFT_CHAT = """#!/bin/sh
exec {python} {program} "$@"
"""


_KEEP = "declare -p TOKEN ANN_TOKEN INVITE >variables 2>>errors || :"  # what one block sets for those after it


class Example(NamedTuple):
    """Something that a page has its reader do, or (`word` is no "run") that happens meanwhile."""

    word: str
    text: str
    status: int = 0  # of its answers; 0: all are 2xx


def examples(page: str) -> Iterator[Example]:
    """What a page in Markdown has one do, in its order."""
    status = 0
    for part in _PART.finditer(page):
        block, word = part["block"] or part["row"], part["word"]
        if word == "answers":
            status = int(part["number"])
        elif word:
            yield Example(word, part["number"])
        elif _is_example(block):
            yield Example("run", block, status)
            status = 0


def _is_example(block: str) -> bool:
    if "curl " in block:
        return True
    lines = block.replace("\\\n", "").splitlines()
    return any(line.startswith("raft-chat ") and not _STARTS_A_NODE.match(line) for line in lines)


class Reader:
    """Does what a page says, on the nodes of a cluster that stands in `directory`."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self._bin = directory / "bin"
        self._bin.mkdir()
        self._write("curl", _CURL.format(curl=_which("curl")))
        self._write("raft-chat", _RAFT_CHAT.format(python=sys.executable, program=ROOT / "raft_chat.py"))
        (directory / "variables").touch()

    def does(self, example: Example) -> None:
        """Raises AssertionError where that is not answered as the page has it."""
        match example.word:
            case "kills":
                self._cluster.kill(int(example.text))
                self._cluster.wait_ready()
            case "starts":
                self._cluster.restart(int(example.text))
            case "joins":
                self._cluster.join(int(example.text))
                self._cluster.wait_ready()
            case "run":
                self._run(example)
            case _:
                raise AssertionError(f"{example.word} {example.text}: no such thing happens")

    def _run(self, example: Example) -> None:
        answers = self._directory / "answers"
        answers.write_text("")
        script = f". ./variables\nset -e\n{self._here(example.text)}\n{_KEEP}\n"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._directory,
            env={
                **environment(),
                "PATH": f"{self._bin}:{os.environ['PATH']}",
                "EXAMPLES": str(self._directory),
                "RAFT_CHAT_FROM": self._cluster.nodes[1].url,  # as the usual port is not to be had
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        told = f"{example.text}\n{done.stdout}{done.stderr}{answers.read_text()}"
        assert done.returncode == 0, told
        statuses = [int(line) for line in answers.read_text().splitlines() if line.isdecimal()]
        assert len(statuses) == len(re.findall(r"\bcurl ", example.text)), told
        for status in statuses:
            assert status == example.status if example.status else status in range(200, 300) or status == 101, told

    def _here(self, text: str) -> str:
        """With the ports that the cluster has; a node that is not there yet is made, for it is told of now."""

        def port(found: re.Match[str]) -> str:
            id = int(found[1])
            node = self._cluster.nodes.get(id) or self._cluster.new_node(id)
            return str(node.peer_port if found[2] == "79" else node.port)

        return _PORT.sub(port, _FIRST_MACHINE.sub("127.0.0.1", text))

    def _write(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _which(program: str) -> str:
    return subprocess.run(["which", program], check=True, capture_output=True, text=True).stdout.strip()
