"""`raft-chat bundle`: one file that runs alone, with an empty environment.

`.ci/run` runs these tests on every other Python too.  `tests/test_packaging.py` has the bundle that an installed
raft-chat makes.

A bundle is compiled at each start, so commands share a process where the process is not the point.
"""

import importlib.metadata
import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from types import CodeType

import pytest

import raft_chat
from chat.api.page_files import all_files, page
from chat.cli.offline import bundle
from chat.cli.offline.bare_source import bare
from chat.process.own_command import REWRITE
from raft.storage.file_names import snapshot_name
from tests.support.cluster import ROOT, Cluster, NodeProcess
from tests.support.http_client import HttpClient
from tests.test_layout import sources

RUN_S = 60
BYTES_MAX = 1_000_000
# Runs commands, one after the other, with what can be imported from a bundle alone, and prints what they print.
SEVERAL = """
import io, json, os, sys
from contextlib import redirect_stdout
sys.path.insert(0, sys.argv[1])
import raft_chat
os.nice = int  # a backup has a low priority, what comes after it has not
printed = []
for arguments in json.loads(sys.argv[2]):
    with redirect_stdout(io.StringIO()) as out:
        code = raft_chat.main(arguments)
    if code:
        sys.exit(f"{arguments}: {code}")
    printed.append(out.getvalue())
print(json.dumps(printed))
"""


def alone(*arguments: str) -> list[str]:
    """The command of a Python with no environment, no site-packages, and nothing from the working directory."""
    return ["env", "-i", sys.executable, "-I", "-S", *arguments]


def run(command: Sequence[str], *arguments: str, code: int = 0) -> str:
    """Run a command to its end in an empty environment, and return its output."""
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def run_several(archive: Path, *commands: Sequence[str]) -> list[str]:
    """Run commands of a bundle in one process, and return the output of each."""
    printed = json.loads(run(alone("-c", SEVERAL, str(archive), json.dumps(commands))))
    assert len(printed) == len(commands)
    return [str(each) for each in printed]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of this checkout, in a folder with nothing else."""
    archive = tmp_path_factory.mktemp("bundle") / "raft-chat.pyz"
    with redirect_stdout(io.StringIO()) as said:
        assert raft_chat.main(["bundle", "--output", str(archive)]) == 0
    assert said.getvalue().startswith(f"Wrote {archive}: {archive.stat().st_size / 1024:.0f} KiB with h11-")
    return archive


@pytest.fixture(scope="module")
def content(made: Path) -> dict[str, bytes]:
    """The bundle's files by their names."""
    with zipfile.ZipFile(made) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def test_a_bundle_holds_the_program_its_page_and_what_it_runs_on_and_nothing_else(content: dict[str, bytes]) -> None:
    programs = tuple(f"{name}.py" for name in bundle.MODULES)
    own = {name for name in content if name.startswith(("chat/", "raft/", "static/", *programs))}
    modules = {path.relative_to(ROOT).as_posix() for path in sources().values()}
    assert own == modules | {f"static/{path}" for path in all_files()}
    others = {name.partition("/")[0].partition("-")[0].removesuffix(".py") for name in content.keys() - own}
    assert others == {*bundle.DEPENDENCIES, bundle.MODULE, "__main__"}
    assert all(content[f"static/{path}"] == file.body for path, file in all_files().items())


def test_a_bundle_names_all_that_its_distributions_require() -> None:
    required, missing = {"raft-chat"}, ["werkzeug", "simple-websocket"]
    while missing:
        required.add(name := missing.pop())
        lines = [line for line in importlib.metadata.requires(name) or [] if "extra" not in line]
        missing += sorted({re.split(r"[^\w.-]", line)[0].lower() for line in lines} - required)
    assert required == {"raft-chat", *(name.replace("_", "-") for name in bundle.DEPENDENCIES)}


def versions_in(archive: Path) -> dict[str, str]:
    """The versions of the distributions in a bundle."""
    return {each.name.lower(): each.version for each in importlib.metadata.distributions(path=[str(archive)])}


def test_a_bundle_has_the_version_and_the_licences_of_all_that_is_in_it(made: Path, content: dict[str, bytes]) -> None:
    versions = versions_in(made)
    assert versions.pop("raft-chat")
    assert versions == {name.replace("_", "-"): importlib.metadata.version(name) for name in bundle.DEPENDENCIES}
    for name in (bundle.MODULE, *bundle.DEPENDENCIES):
        assert [path for path in content if re.match(rf"{name}-[^/]*/(.*/)?LICENSE", path)], name


def test_a_bundle_is_an_executable_of_less_than_a_megabyte(made: Path) -> None:
    assert stat.S_IMODE(made.stat().st_mode) == 0o755
    assert made.read_bytes().startswith(b"#!/usr/bin/env python3\n")
    assert made.stat().st_size < BYTES_MAX
    assert os.listdir(made.parent) == [made.name]


def test_the_same_sources_make_the_same_bytes_also_when_a_bundle_makes_them(made: Path, tmp_path: Path) -> None:
    (older := tmp_path / "raft-chat.pyz").write_bytes(bundle.archive({"raft_chat.py": b"an older one\n"}))
    run(alone(str(made)), "bundle", "--output", str(older))
    assert older.read_bytes() == made.read_bytes()
    assert os.listdir(tmp_path) == [older.name]


def test_only_a_bundle_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "_content", lambda: iter([("raft_chat.py", b"")]))
    output = tmp_path / "raft-chat.pyz"
    for other in (b"a letter\n", b"", bundle.archive({"letter.txt": b"a letter\n"})):
        output.write_bytes(other)
        assert raft_chat.main(["bundle", "--output", str(output)]) == 1
        assert capsys.readouterr().err.startswith(f"raft-chat: {output} is there and is no bundle of raft-chat.")
    for device in ("/dev/full", str(tmp_path)):
        assert raft_chat.main(["bundle", "--output", device]) == 1
        assert capsys.readouterr().err.startswith(f"raft-chat: {device} is there and is no bundle of raft-chat.")
        assert output.read_bytes() == other


@pytest.mark.parametrize("output", ["missing/raft-chat.pyz", "folder", ""])
def test_a_place_that_cannot_be_written_is_refused_in_a_line(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    assert raft_chat.main(["bundle", "--output", output]) == 1
    error = capsys.readouterr().err
    assert error.startswith("raft-chat: ") and error.count("\n") == 1 and output.partition("/")[0] in error
    assert os.listdir(tmp_path) == ["folder"]


def run_by_python(code: CodeType) -> list[object]:
    """All that Python runs of a compiled source, and on which lines."""
    constants = [run_by_python(each) if isinstance(each, CodeType) else each for each in code.co_consts]
    return [code.co_code, code.co_names, [line for _, _, line in code.co_lines()], constants]


def test_the_sources_in_a_bundle_do_the_same_on_the_same_lines(content: dict[str, bytes]) -> None:
    for path in sources().values():
        both = (path.read_bytes(), content[path.relative_to(ROOT).as_posix()])
        full, packed = (run_by_python(compile(source, "", "exec", optimize=2)) for source in both)
        assert packed == full, path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (b"x = '# no comment'  # a comment\n", b"x = '# no comment'\n"),
        ('def f():\n    """Ünï\n\n    #code\n    """  # why\n'.encode(), b'def f():\n    ""\n\n\n\n'),
        (b'def f():\n    "said"; return 1\n', b'def f():\n    "said"; return 1\n'),
        (b"if x:\n    'no docstring'\n    def f(): 'one'\n", b"if x:\n    'no docstring'\n    def f(): \"\"\n"),
        (b"#!/usr/bin/python\r\n# -*- coding: latin-1 -*-\r\nx = '\xe9'\r\n", "\n\nx = 'é'\n".encode()),
        (b"class A: 'said'\n", b'class A: ""\n'),
        (b"x = '''\n  # text\n'''\n", b"x = '''\n  # text\n'''\n"),
        (b"", b""),
    ],
)
def test_comments_and_docstrings_are_taken_out_of_a_source(source: bytes, expected: bytes) -> None:
    assert bare(source) == expected
    assert bare(expected) == expected


def check_page(node: NodeProcess) -> None:
    """The node serves its page and all files that belong to it."""
    with HttpClient(node.port) as client:
        assert client.request("GET", "/").body == page().index.body
        served = {path: client.request("GET", f"/static/{path}").body for path in all_files()}
    assert served == {path: file.body for path, file in all_files().items()}


def test_a_node_and_commands_run_alone_and_their_bundle_can_be_replaced(made: Path, tmp_path: Path) -> None:
    """The node has a peer that is no bundle.  The child that writes its backup is a start of the bundle too."""
    archive = tmp_path / "raft-chat.pyz"
    archive.write_bytes(made.read_bytes())
    node = NodeProcess(1, tmp_path, command=alone(str(archive)))
    with Cluster(tmp_path, nodes=[node, NodeProcess(2, tmp_path)]) as cluster:
        leader = cluster.start_ready().wait_leader()
        check_page(node)
        backup, directory = str(tmp_path / "chat.backup"), str(node.data_dir)
        index = node.status()["LastApplied"]
        version, _, shown, status, fetched, verified, examined, compacted = run_several(
            archive,
            ["version"],
            ["send", "general", "hello", "--user", "ann", "--from", cluster.nodes[2].url],
            ["tail", "general", "--no-follow", "--json", "--from", node.url],
            ["status", "--data-dir", directory],
            ["backup", "--data-dir", directory, "--output", backup],
            ["verify", backup],
            ["doctor", directory],
            [REWRITE, directory, str(index)],  # of the child that compacts a large log
        )
        assert version == f"raft-chat {versions_in(made)['raft-chat']}\n"
        assert json.loads(shown)["Message"] == "hello"
        assert f"leader {leader}, term" in status
        assert fetched.startswith(f"{backup}: a backup of index ")
        assert "1 message" in verified
        assert examined.endswith("All is sound.\n")
        assert json.loads(compacted)[0] == index
        assert (node.data_dir / snapshot_name(index)).exists()
        archive.unlink()
        check_page(node)
        assert cluster.post(1, "general", "hello").status == 201
        with cluster.subscribed(1):
            pass
        assert cluster.terminate(1) == 0
        assert "Traceback" not in node.log()
