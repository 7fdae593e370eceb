"""The child that rewrites the log: what it makes, and what is left when it fails or is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread
from time import monotonic
from types import SimpleNamespace

import pytest

from raft.compaction import child_process
from raft.compaction.child_process import ChildRewriter
from raft.compaction.failures import RewriteFailed, RewriteStopped
from raft.core.entries import command_entry
from raft.core.raft_messages import HardState, ProposalId
from raft.storage.disk import RealDisk
from raft.storage.file_names import is_temporary, snapshot_name
from raft.storage.log_store import Storage
from raft.storage.reserve import PREFIX
from tests.raft.alone import DEADLINE_S
from tests.raft.memory import Memory
from tests.support.waiting import wait_until

LAST = 20
REAL = (sys.executable, "-c", "import sys; from raft.compaction.child_process import main; "
        "from tests.raft.memory import Memory; sys.exit(main(sys.argv[1:], Memory))")  # fmt: skip
# Begins a file as a rewrite does, says so, and is never done with it.
HANGS = (sys.executable, "-c", "import os, pathlib, signal, sys; directory = pathlib.Path(sys.argv[1]); "
         "(directory / f'snapshot-000000000000020.jsonl.{os.getpid()}.tmp').touch(); signal.pause()")  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A data directory with some commands in its log."""
    storage = Storage.open(RealDisk(), tmp_path)
    entries = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b"%d" % n) for n in range(1, LAST + 1)]
    storage.append(HardState(1, 1, 0), entries)
    storage.append(HardState(1, 1, LAST), ())
    storage.close()
    return tmp_path


def unfinished(data_dir: Path) -> list[str]:
    return [file.name for file in data_dir.iterdir() if is_temporary(file.name)]


def failure(command: Sequence[str], data_dir: Path, up_to: int = LAST) -> str:
    """Why it was not done; the log is as it was."""
    before = sorted(file.name for file in data_dir.iterdir())
    with pytest.raises(RewriteFailed) as failed:
        ChildRewriter(command, data_dir)(up_to)
    assert sorted(file.name for file in data_dir.iterdir()) == before
    return str(failed.value)


def test_a_child_writes_the_file_and_says_what_is_in_it(log: Path) -> None:
    rewrite = ChildRewriter(REAL, log)
    snapshot = rewrite(LAST)
    assert (snapshot.index, snapshot.term) == (LAST, 1)
    assert snapshot_name(LAST) in {file.name for file in log.iterdir()}
    storage = Storage.open(RealDisk(), log)
    assert storage.recovered.snapshot == snapshot
    storage.close()


def test_what_a_child_complains_of_is_told_in_one_line(log: Path) -> None:
    said = failure(REAL, log, LAST + 1)
    assert said == f"the log holds entries 1 to {LAST}, not {LAST + 1}"


def test_a_program_that_cannot_be_started_is_a_rewrite_that_failed(log: Path) -> None:
    assert "no process can be started" in failure(("/nonexistent/python",), log)


def test_a_child_that_dies_without_a_word_is_a_rewrite_that_failed(log: Path) -> None:
    assert "ended with code 3" in failure((sys.executable, "-c", "raise SystemExit(3)"), log)


def test_a_disk_that_is_full_is_a_rewrite_that_failed(log: Path) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); "
    assert "File too large" in failure((*REAL[:2], limited + REAL[2]), log)


def test_the_child_is_this_program_and_not_what_lies_where_it_was_started(
    log: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "raft_chat.py").write_text("raise SystemExit('another program')")
    monkeypatch.setattr("sys.path", [str(Path(child_process.__file__).parents[2]), *sys.path])
    monkeypatch.chdir(elsewhere)
    with pytest.raises(RewriteFailed, match="log holds entries"):
        ChildRewriter((sys.executable, "-m", "raft_chat", "rewrite-log"), log)(LAST + 1)


def test_what_space_is_left_on_a_disk_that_is_almost_full_is_for_the_log(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (log / f"{PREFIX}1").touch()  # the reserve is held
    before, free = sorted(log.iterdir()), [child_process.SPARE_BYTES - 1]
    monkeypatch.setattr("os.nice", lambda _: 0)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free[0]))
    assert child_process.main([str(log), str(LAST)], Memory) == 1
    assert "almost full" in capsys.readouterr().err
    assert sorted(log.iterdir()) == before
    (log / f"{PREFIX}1").unlink()  # it was given up: the rewrite is what makes room
    assert child_process.main([str(log), str(LAST)], Memory) == 0


def test_a_child_that_is_killed_is_a_rewrite_that_failed_and_leaves_nothing(log: Path) -> None:
    told: list[str] = []
    thread = Thread(
        target=lambda: told.append(failure_of_hanging(ChildRewriter(HANGS, log))), name="rewrites", daemon=True
    )
    thread.start()
    (name,) = wait_until(lambda: unfinished(log) or None, DEADLINE_S, "the child is at work")
    os.kill(int(name.split(".")[-2]), signal.SIGKILL)
    thread.join(DEADLINE_S)
    assert told == ["the process for the rewrite ended with code -9"]
    assert unfinished(log) == []


def test_a_child_is_stopped_at_once_and_no_other_begun(log: Path) -> None:
    rewrite = ChildRewriter(HANGS, log)
    told: list[str] = []
    thread = Thread(target=lambda: told.append(failure_of_hanging(rewrite)), name="rewrites", daemon=True)
    thread.start()
    wait_until(lambda: unfinished(log) or None, DEADLINE_S, "the child is at work")
    began = monotonic()
    rewrite.stop()
    thread.join(DEADLINE_S)
    assert monotonic() - began < 1
    assert told == ["stopped"], "one that was killed from elsewhere is a failure, and is said"
    with pytest.raises(RewriteStopped):
        rewrite(LAST)


def failure_of_hanging(rewrite: ChildRewriter) -> str:
    try:
        rewrite(LAST)
    except RewriteStopped:
        return "stopped"
    except RewriteFailed as failed:
        return str(failed)
    return "done"


def test_a_child_whose_parent_is_killed_ends_and_the_next_start_is_clean(log: Path) -> None:
    """The child is stopped before it looks whether its parent lives, and goes on when that is dead."""
    slow = REAL[2].replace("sys.exit(", "import os, raft.compaction.compactor as c; own = c.file_steps; "
                           "c.file_steps = lambda *a, **k: (print('half', file=sys.stderr), os.kill(os.getpid(), 19), "
                           "own(*a, **k))[-1]; sys.exit(")  # fmt: skip
    parent_code = (
        "import subprocess, sys; from pathlib import Path; from raft.compaction.child_process import ChildRewriter; "
        "import raft.compaction.child_process as r; own = r.subprocess.Popen; "
        "r.subprocess.Popen = lambda *a, **k: (child := own(*a, **k), print(child.pid, flush=True))[0]; "
        f"ChildRewriter({(*REAL[:2], slow)!r}, Path(sys.argv[1]))({LAST})"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent_code, str(log)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_until(lambda: _state(child) == "T", DEADLINE_S, "the child stands still, half done")
        parent.kill()
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: _state(child) in ("", "Z"), DEADLINE_S, "the child has ended")
    assert snapshot_name(LAST) not in {file.name for file in log.iterdir()}
    storage = Storage.open(RealDisk(), log)
    assert (storage.last_index, storage.recovered.snapshot, unfinished(log)) == (LAST, None, [])
    storage.close()


def _state(pid: int) -> str:
    """The process's state as /proc has it, "" where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return ""


def test_a_child_that_makes_no_progress_is_killed_and_leaves_nothing(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "STUCK_S", 0.3)
    assert "made no progress" in failure(HANGS, log)


def test_a_child_that_takes_long_and_makes_progress_is_waited_for(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "STUCK_S", 0.5)
    slow = (
        "import sys, threading\nfor n in range(8): print(flush=True); threading.Event().wait(0.1)\n"
        "print('[20, 1, 20, 0, \"{}\", []]')"
    )
    assert ChildRewriter((sys.executable, "-S", "-c", slow), log)(LAST).index == LAST
