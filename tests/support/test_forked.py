"""A forked node is a process like any other: it ends as one that was started, and none outlives a run."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Forked, NodeProcess
from tests.support.fork_server import ROOT
from tests.support.waiting import wait_until

HASH = "import sys; print(hash('chat')); sys.stdout.flush(); "
RUN = """
import sys
from pathlib import Path
from tests.support.cluster import Cluster
cluster = Cluster(Path(sys.argv[1]), 1)
cluster.start()
print(cluster.nodes[1].process.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def ended(directory: Path, setup: str, id: int = 1) -> tuple[int, str]:
    """The exit code of a node that runs these statements first, and what it says."""
    with Cluster(directory, nodes=[NodeProcess(id, directory, command=Forked(setup))]) as cluster:
        cluster.start()
        return cluster.nodes[id].wait_exit(), cluster.nodes[id].log()


def test_what_it_ends_with_is_its_exit_code(tmp_path: Path) -> None:
    assert ended(tmp_path, "import sys; sys.exit(7)")[0] == 7


def test_what_it_raises_ends_it_with_1_and_a_traceback(tmp_path: Path) -> None:
    code, said = ended(tmp_path, "raise ValueError('seven')")
    assert code == 1
    assert said.splitlines()[-1] == "ValueError: seven"


def test_what_a_signal_ended_says_so_and_what_runs_has_no_exit_code(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1, command=Forked("import signal; signal.pause()")) as cluster:
        cluster.start()
        process = cluster.nodes[1].process
        assert process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == process.returncode == -signal.SIGKILL


def test_nodes_of_a_cluster_have_hash_seeds_of_their_own(tmp_path: Path) -> None:
    said = [ended(tmp_path, HASH + "sys.exit()", id)[1] for id in (1, 2, 3)]
    assert len(set(said)) == 3, said


def test_it_serves_as_one_that_was_started(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "hello").status == 201
        assert cluster.terminate(1) == 0


def test_it_dies_with_the_run_that_asked_for_it(tmp_path: Path) -> None:
    command = (sys.executable, "-c", RUN, str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        pid = int(killed.stdout.readline())
        assert is_alive(pid)
        killed.kill()
    wait_until(lambda: not is_alive(pid), 10, "the node is gone with the run")
