"""A network of namespaces: one for each node, joined by a bridge whose address the clients come from.

What is wrong with it is told as a whole (`shape`): which node no longer hears which, and how much of what passes
between nodes is lost.  Clients reach every node whatever is cut: a leader that has lost its followers, but not its
readers, is what stale reads would come from.
"""

import itertools
import os
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from types import TracebackType

from tests.faults.leftovers import NAMESPACES, new_name, sweep
from tests.faults.tools import run

GATEWAY = 254
DEADLINE_S = 10

Link = tuple[int, int]  # from one node to another


class Network:
    """The namespaces of nodes 1 … n; use it as a context manager."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = tuple(ids)
        self._name = new_name()
        self._subnet = ""
        self._rules = dict.fromkeys(ids, "")
        self._closing = ExitStack()

    def __enter__(self) -> "Network":
        sweep()
        with ExitStack() as building:  # taken down again where it cannot be built to the end
            self._build(building)
            self._closing = building.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.close()

    def _build(self, closing: ExitStack) -> None:
        bridge = f"{self._name}b"
        self._subnet = _free_subnet()
        run("ip", "link", "add", bridge, "type", "bridge")
        closing.callback(run, "ip", "link", "del", bridge)
        run("ip", "address", "add", f"{self._subnet}.{GATEWAY}/24", "dev", bridge)
        run("ip", "link", "set", bridge, "up")
        for id in self.ids:
            namespace, outer = self._namespace(id), f"{self._name}v{id}"
            run("ip", "netns", "add", namespace)
            closing.callback(run, "ip", "netns", "del", namespace)
            run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            closing.callback(run, "ip", "link", "del", outer)  # at once: with its namespace it would go some time later
            run("ip", "link", "set", outer, "master", bridge, "up")
            for command in (
                ("ip", "address", "add", f"{self.address(id)}/24", "dev", "eth0"),
                ("ip", "link", "set", "eth0", "up"),
                ("ip", "link", "set", "lo", "up"),
            ):
                run(*self.inside(id), *command)

    def _namespace(self, id: int) -> str:
        return f"{self._name}n{id}"

    def address(self, id: int) -> str:
        return f"{self._subnet}.{id}"

    def inside(self, id: int) -> tuple[str, ...]:
        """What a command is prefixed with to run on node `id`; the process stays the same one."""
        return ("nsenter", f"--net={NAMESPACES / self._namespace(id)}", "--")

    def shape(self, blocked: Iterable[Link] = (), loss: float = 0) -> None:
        """From now on `blocked` links carry nothing, the others lose this share of their packets; all else is well."""
        cut = set(blocked)
        wanted = {id: self._rules_of(id, cut, loss) for id in self.ids}
        changing = [
            (id, subprocess.Popen((*self.inside(id), "iptables-restore"), stdin=subprocess.PIPE))
            for id in self.ids
            if wanted[id] != self._rules[id]
        ]
        for id, process in changing:
            process.communicate(wanted[id].encode(), DEADLINE_S)
            assert process.returncode == 0, f"iptables-restore for node {id}"
        self._rules = wanted

    def _rules_of(self, id: int, cut: set[Link], loss: float) -> str:
        """What node `id` refuses to hear, for iptables-restore, which changes all of it in one step."""
        lines = ["*filter", ":INPUT ACCEPT [0:0]"]
        for source in self.ids:
            heard = f"-A INPUT -s {self.address(source)}"
            if (source, id) in cut:
                lines.append(f"{heard} -j DROP")
            elif loss and source != id:
                lines.append(f"{heard} -m statistic --mode random --probability {loss} -j DROP")
        return "\n".join([*lines, "COMMIT", ""])


def _free_subnet() -> str:
    """The first three bytes of a network that nobody here uses, of those that are set aside for tests (RFC 2544)."""
    taken = run("ip", "-4", "address")
    for number in itertools.islice(itertools.count(os.getpid()), 512):
        subnet = f"198.{18 + number // 256 % 2}.{number % 256}"
        if f" {subnet}." not in taken:
            return subnet
    raise AssertionError("all of 198.18.0.0/15 is in use")
