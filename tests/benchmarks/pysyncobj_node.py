"""PySyncObj as a peer: three processes with one each, and 64 threads that call a replicated method on the leader.

A process is `python -m tests.benchmarks.pysyncobj_node SECONDS OWN OTHER OTHER`.  Once all three know their leader it
prints "leader" or "follower" and waits for a line on stdin.  Then the leader's calls `post(…, sync=True)`, which
returns when the call is committed and applied, and prints one line of JSON.  There is no network and no HTTP between
caller and leader, and no fsync: as it comes it keeps its log in memory.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from time import monotonic
from typing import Any

from pysyncobj import SyncObj, SyncObjConf, SyncObjException, replicated

from tests.benchmarks import programs
from tests.benchmarks.ours import MESSAGE
from tests.support.cluster import READY_S
from tests.support.http_client import HOST
from tests.support.ports import Port
from tests.support.waiting import wait_until

CALLERS = 64
CALL_S = 10  # a call that takes longer has failed
# As it comes, but for this: its connections are tried again every 5 s, for which the start of three would have to wait.
RETRY_S = 0.5


class Room(SyncObj):  # type: ignore[misc]  # it has no types
    """A list of messages that all three hold."""

    def __init__(self, own: str, others: list[str]) -> None:
        super().__init__(own, others, SyncObjConf(connectionRetryTime=RETRY_S))
        self.messages: list[str] = []

    @replicated  # type: ignore[untyped-decorator]
    def post(self, message: str) -> int:
        self.messages.append(message)
        return len(self.messages)

    def leads(self) -> bool | None:
        """None while it does not know."""
        status: dict[str, Any] = self.getStatus()
        return status["leader"] == status["self"] if self.isReady() and status["leader"] else None


@dataclass(slots=True)
class Caller:
    """One thread's calls."""

    answered: int = 0
    failed: int = 0

    def call(self, room: Room, end: float) -> None:
        while monotonic() < end:
            try:
                room.post(MESSAGE, sync=True, timeout=CALL_S)
                self.answered += 1
            except SyncObjException:
                self.failed += 1


def main() -> None:
    seconds, own, *others = sys.argv[1:]
    room = Room(own, others)
    leads = [False]

    def knows() -> bool:
        found = room.leads()
        leads[0] = bool(found)
        return found is not None

    wait_until(knows, READY_S, "PySyncObj knows its leader")
    print("leader" if leads[0] else "follower", flush=True)
    sys.stdin.readline()
    began = monotonic()
    callers = [Caller() for _ in range(CALLERS)]
    threads = [threading.Thread(target=one.call, args=(room, began + float(seconds)), name="caller") for one in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answered, failed = sum(one.answered for one in callers), sum(one.failed for one in callers)
    print(json.dumps({"per_second": answered / (monotonic() - began), "failed": failed}), flush=True)


@contextmanager
def _nodes(directory: Path, seconds: int) -> Iterator[list[Popen[str]]]:
    with ExitStack() as closing:
        ports = [Port() for _ in range(3)]
        for port in ports:
            closing.callback(port.release)
        own = [f"{HOST}:{port.number}" for port in ports]
        yield [
            closing.enter_context(
                programs.python(
                    "tests.benchmarks.pysyncobj_node",
                    str(seconds),
                    *own[number:],
                    *own[:number],
                    log=directory / "pysyncobj.log",
                )
            )
            for number in range(3)
        ]


def calls_per_second(directory: Path, seconds: int) -> float:
    """AssertionError where a call failed."""
    log = directory / "pysyncobj.log"
    with _nodes(directory, seconds) as nodes:
        roles = [programs.line_of(node, log) for node in nodes]
        leader = nodes[roles.index("leader")]
        assert leader.stdin is not None
        leader.stdin.write("go\n")
        leader.stdin.flush()
        found = json.loads(programs.line_of(leader, log))
    assert found["failed"] == 0, f"{found['failed']} calls failed"
    return float(found["per_second"])


if __name__ == "__main__":
    main()
