"""A run that is killed leaves no process, and nothing that the next run does not take down."""

import os
import subprocess
import sys
from pathlib import Path

from tests.faults.leftovers import LINKS, NAMESPACES, mount_points, sweep
from tests.faults.tools import NETWORK, need
from tests.support.cluster import ROOT
from tests.support.waiting import wait_until

# What a run sets up: nodes in namespaces, and a file system.  Then it waits to be killed.
RUN = """
import sys
from pathlib import Path
from tests.faults.leftovers import new_directory
from tests.faults.tools import run
from tests.faults.world import World
run("mount", "-t", "tmpfs", "tmpfs", str(new_directory()))
with World(Path(sys.argv[1]), 3) as world:
    print(*(node.process.pid for node in world.cluster.nodes.values()), flush=True)
    sys.stdin.read()
"""


def left_by(pid: int) -> list[str]:
    names = [*os.listdir(LINKS), *os.listdir(NAMESPACES), *(Path(at).name for at in mount_points())]
    return [name for name in names if name.startswith(f"rcf{pid}-")]


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_what_a_killed_run_leaves_is_taken_down_by_the_next(tmp_path: Path) -> None:
    need(NETWORK)
    command = (sys.executable, "-c", RUN, str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        nodes = [int(pid) for pid in killed.stdout.readline().split()]
        assert len(nodes) == 3 and all(is_alive(pid) for pid in nodes)
        killed.kill()
    assert len(left_by(killed.pid)) >= 3 + 4 + 1  # namespaces, a bridge and its ends, the mount
    wait_until(lambda: not any(is_alive(pid) for pid in nodes), 10, "the nodes are gone with the run")
    sweep()
    assert left_by(killed.pid) == []
