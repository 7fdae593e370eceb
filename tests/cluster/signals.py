"""Signals to real nodes, at many moments: `python -m tests.cluster.signals [--only WORDS]`.

SIGTERM at 30 moments of a start, as an ordinary process and as PID 1 of a namespace, and while a log of 100 MB is read;
SIGTERM under load, and twice, and where there is no majority; SIGHUP at the same moments of a start.  A node has to end
with exit code 0 within ten seconds (1 where it is told twice), and every request that it has been sent before the
signal has to be answered.  What differs is printed, and the exit code is 1.

A moment is counted from when the process blocks SIGTERM, its first act: before that the interpreter itself starts, and
a signal ends it, or as PID 1 is lost.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from tests.cluster.writers import load, wait_for_posts
from tests.support.cluster import COMMAND, NODE, Cluster, Forked, NodeProcess
from tests.support.forked import Process
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

MOMENTS = 30
CLIENTS = 16
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
SOME_POSTS = 50
END_S = 10.0  # promised in the README
LOG_BYTES = 100 << 20
MESSAGE = "\N{GRINNING FACE}" * 7_900  # 31,600 bytes, nearly the longest there is
# A node for which no two signals come at once.
IMPATIENT = Forked("import chat.process.signals; chat.process.signals.AT_ONCE_S = 0.0")
AS_PID_1 = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
POST = '{"User": "ann", "Message": "hello", "ClientId": "%s"}'

# Each waits for a majority.
WAITING = {
    "a post": ("POST", "/rooms/general", '{"User": "ann", "Message": "hello", "ClientId": "c-1"}'),
    "a read": ("GET", "/rooms/general", None),
    "a read at an index": ("GET", "/rooms/general?min_index=1000000&consistency=stale", None),
    "a post at an index": ("POST", "/rooms/general?min_index=1000000", '{"User": "ann", "Message": "hello"}'),
    "an export": ("GET", "/rooms/general/export", None),
    "a change of a room": ("PATCH", "/rooms/general", '{"Topic": "tea"}'),
    "a new member": ("POST", "/raft/4", "http://127.0.0.1:1"),
}


@dataclass
class Seen:
    """How often a node ended how, how long that took, and what became of requests in flight."""

    codes: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def ended(seen: Seen, process: Process, began: float, must: int = 0) -> None:
    """Wait for the end of a node that was told to stop."""
    try:
        code = process.wait(END_S + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        seen.wrong.append(f"runs {END_S + 5:.0f} s after the signal")
        return
    took_s = monotonic() - began
    seen.codes[code] += 1
    seen.took_s.append(took_s)
    if code != must:
        seen.wrong.append(f"exit code {code}")
    if took_s > END_S:
        seen.wrong.append(f"ended after {took_s:.1f} s")


# --- a start ---


def blocks_signals(pid: int) -> bool:
    """Whether a node's main thread holds SIGTERM back until it is asked for (proc(5)).

    `unshare` holds it back too, between its fork and its exec: a signal then is lost, as PID 1 has no handler yet.
    """
    with suppress(OSError):
        if not Path(os.readlink(f"/proc/{pid}/exe")).samefile(sys.executable):
            return False
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigBlk:"):
                return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    return False


def child_of(pid: int) -> int | None:
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None


def started(cluster: Cluster, *, as_pid_1: bool) -> tuple[Process, int]:
    """A process that has just begun to hold signals back, and the node's pid as seen from here."""
    node = cluster.nodes[1]
    node.program = (*AS_PID_1, *COMMAND) if as_pid_1 else COMMAND
    cluster.start(1)
    process = node.process
    assert process is not None
    pid = wait_until(lambda: child_of(process.pid), END_S, "the child is there") if as_pid_1 else process.pid
    wait_until(lambda: blocks_signals(pid), END_S, "it blocks signals")
    return process, pid


def start_s(cluster: Cluster, *, as_pid_1: bool) -> float:
    """How long a start takes until the node serves."""
    process, pid = started(cluster, as_pid_1=as_pid_1)
    began = monotonic()
    cluster.wait_ready()
    took_s = monotonic() - began
    os.kill(pid, signal.SIGTERM)
    process.wait()
    return took_s


def during_starts(
    cluster: Cluster,
    number: signal.Signals,
    *,
    as_pid_1: bool = False,
    before: Callable[[], None] = lambda: None,
) -> Seen:
    """The signal at moments spread over a start; after a SIGHUP the node has to serve, and is terminated then."""
    seen, pause = Seen(), threading.Event()
    before()
    whole_s = start_s(cluster, as_pid_1=as_pid_1)
    for moment in range(MOMENTS):
        before()
        process, pid = started(cluster, as_pid_1=as_pid_1)
        pause.wait(whole_s * moment / (MOMENTS - 1))
        began = monotonic()
        os.kill(pid, number)
        if number == signal.SIGHUP:
            cluster.wait_ready()
            began = monotonic()
            os.kill(pid, signal.SIGTERM)
        ended(seen, process, began)
    return seen


def start_small(number: signal.Signals, *, as_pid_1: bool = False) -> Callable[[Path], Seen]:
    def play(directory: Path) -> Seen:
        with Cluster(directory, 1) as cluster:
            cluster.start_ready()
            assert cluster.post(1, "general", "hello").status == 201
            assert cluster.terminate(1) == 0
            return during_starts(cluster, number, as_pid_1=as_pid_1)

    return play


def start_long(directory: Path) -> Seen:
    """A log of LOG_BYTES, all of which is read: nothing that makes a start quick is left."""
    with Cluster(directory, 1) as cluster:
        cluster.start_ready()
        data_dir = cluster.nodes[1].data_dir
        body = json.dumps({"User": "ann", "Message": MESSAGE}, ensure_ascii=False)
        with ThreadPoolExecutor(4) as pool:
            while sum(file.stat().st_size for file in data_dir.glob("log-*.jsonl")) < LOG_BYTES:
                posts = [pool.submit(cluster.request, 1, "POST", "/rooms/general", body) for _ in range(100)]
                assert {post.result().status for post in posts} == {201}
        cluster.kill(1)

        def leave_the_log() -> None:
            for file in (*data_dir.glob("*.idx"), *data_dir.glob("checkpoint-*")):
                file.unlink()

        return during_starts(cluster, signal.SIGTERM, before=leave_the_log)


# --- requests in flight ---


def ask(pool: ThreadPoolExecutor, node: NodeProcess) -> dict[str, Future[Answer]]:
    """One request of each kind, at the node when this returns."""
    asked = {what: pool.submit(node.request, *request) for what, request in WAITING.items()}
    sent = "every request is at the node"
    wait_until(lambda: all(answer.running() for answer in asked.values()) and node.status(), END_S, sent)
    return asked


def count(seen: Seen, asked: dict[str, Future[Answer]], *, may_be_cut: bool = False) -> None:
    """Each was answered 503, or 504; a post's with its ClientId."""
    for what, future in asked.items():
        try:
            answer = future.result(END_S)
        except OSError:
            seen.answers["cut"] += 1
            if not may_be_cut:
                seen.wrong.append(f"{what} was not answered")
            continue
        seen.answers[str(answer.status)] += 1
        if answer.status not in (503, 504):
            seen.wrong.append(f"{what}: {answer.status}")
        if answer.status == 504 and what == "a post" and "c-1" not in answer.body.decode():
            seen.wrong.append(f"{what}: 504 without its ClientId: {answer.body.decode()}")


def without_majority(
    directory: Path, *, leads: bool, twice: bool = False, told: Sequence[signal.Signals] = (signal.SIGTERM,)
) -> Seen:
    """The last of three nodes, a leader until then or not, with requests that wait.

    It is `told` to stop by signals at once; `twice`: once more, as soon as it takes no more connections.
    """
    seen = Seen()
    with Cluster(directory, command=IMPATIENT if twice else NODE) as cluster:
        leader = cluster.start_ready().wait_leader()
        last = cluster.nodes[leader if leads else next(id for id in cluster.nodes if id != leader)]
        assert cluster.post(last.id, "general", "first").status == 201
        cluster.kill(*(id for id in cluster.nodes if id != last.id))
        with ThreadPoolExecutor(len(WAITING)) as pool:
            asked = ask(pool, last)
            began = monotonic()
            for number in told:
                last.signal(number)
            if twice:
                wait_until(lambda: refuses(last), END_S, "it takes no more connections")
                last.signal(signal.SIGTERM)
            count(seen, asked, may_be_cut=twice)
            assert last.process is not None
            ended(seen, last.process, began, must=1 if twice else 0)
    return seen


def refuses(node: NodeProcess) -> bool:
    try:
        socket.create_connection((node.host, node.port), 1).close()
    except OSError:
        return True
    return False


def under_load(directory: Path) -> Seen:
    """Each node in turn, while clients post to all: what was sent before the signal is answered."""
    seen = Seen()
    with Cluster(directory) as cluster:
        cluster.start_ready()
        for node in cluster.nodes.values():
            others = cluster.ports([id for id in cluster.nodes if id != node.id])
            with load(others) as writers:
                wait_for_posts(writers, SOME_POSTS)
                _stop_under_load(node, seen)
            cluster.restart(node.id)
    return seen


def _stop_under_load(node: NodeProcess, seen: Seen) -> None:
    stopping, told_at, came = threading.Event(), [float("inf")], Counter[str]()

    def ask_on() -> None:
        while not stopping.is_set():
            began = monotonic()
            try:
                came[str(node.request("POST", "/rooms/general", POST % os.urandom(8).hex()).status)] += 1
            except OSError:
                came["cut" if began < told_at[0] else "sent later"] += 1

    threads = [threading.Thread(target=ask_on, name=f"asks-{number}") for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    wait_until(lambda: came["201"] > SOME_POSTS, END_S, "it takes posts")
    told_at[0] = monotonic()
    node.signal(signal.SIGTERM)
    assert node.process is not None
    ended(seen, node.process, told_at[0])
    stopping.set()
    for thread in threads:
        thread.join()
    seen.answers += Counter({what: count for what, count in came.items() if what != "sent later"})
    if came["cut"]:
        seen.wrong.append(f"{came['cut']} requests sent before the signal were not answered")


# --- the table ---

WAYS: dict[str, Callable[[Path], Seen]] = {
    "SIGTERM in a start": start_small(signal.SIGTERM),
    "SIGTERM in a start, as PID 1": start_small(signal.SIGTERM, as_pid_1=True),
    "SIGTERM as it reads 100 MB": start_long,
    "SIGTERM, no majority, led": lambda directory: without_majority(directory, leads=True),
    "SIGTERM, no majority, followed": lambda directory: without_majority(directory, leads=False),
    "SIGTERM and SIGINT at once": lambda directory: without_majority(directory, leads=True, told=STOPS),
    "SIGTERM twice, no majority": lambda directory: without_majority(directory, leads=True, twice=True),
    "SIGTERM under load": under_load,
    "SIGHUP in a start": start_small(signal.SIGHUP),
    "SIGHUP in a start, as PID 1": start_small(signal.SIGHUP, as_pid_1=True),
}
LINE = "{:32} {:18} {:>16} {:40}"


def _in_words(counted: Counter[int] | Counter[str]) -> str:
    return ", ".join(f"{count} × {what}" for what, count in sorted(counted.items(), key=str)) or "-"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS", help="ways whose names have these words")
    options = parser.parse_args(arguments)
    if os.geteuid() != 0 and "PID" in "".join(way for way in WAYS if options.only in way):
        print("as PID 1: needs root")
        return 1
    print(LINE.format("signal", "exit codes", "seconds", "requests in flight"), flush=True)
    wrong = 0
    for way, play in WAYS.items():
        if options.only not in way:
            continue
        directory = Path(tempfile.mkdtemp(prefix="raft-chat-signals-"))
        try:
            seen = play(directory)
        finally:
            shutil.rmtree(directory)
        took = f"{min(seen.took_s):.2f} to {max(seen.took_s):.2f}" if seen.took_s else "-"
        print(LINE.format(way, _in_words(seen.codes), took, _in_words(seen.answers)), flush=True)
        for what, times in Counter(seen.wrong).items():
            print(f"    WRONG, {times} times: {what}", flush=True)
        wrong += len(seen.wrong)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
