"""The server and its page come up wherever they are put: in a checkout, installed from a wheel, in one zip file."""

import configparser
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from chat.process.sub_commands import SUB_COMMANDS
from tests.support.cluster import ROOT, Cluster
from tests.support.http_client import HttpClient
from tests.test_layout import sources

BUILD_S = 60
DEPENDENCIES = ("werkzeug", "markupsafe", "simple-websocket", "wsproto", "h11")


def pip(*arguments: str) -> None:
    """Offline, and from what is installed: what is built here needs nothing else."""
    flags = ("--disable-pip-version-check", "--no-index", "--no-deps", "--quiet")
    done = subprocess.run(
        [sys.executable, "-m", "pip", *arguments, *flags], capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the source distribution in it.

    They are built from a copy, because setuptools would leave a build/ directory behind and ship what lies in it.
    """
    directory = tmp_path_factory.mktemp("packaging")
    copy = directory / "checkout"
    copy.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, copy)
    for program in ROOT.glob("raft_chat*.py"):
        shutil.copy(program, copy)
    for name in ("raft", "chat", "static", "deploy", "docs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "deploy" / "secrets").mkdir(exist_ok=True)
    (copy / "deploy" / "secrets" / "node1.key").write_text("a key of the person who builds\n")
    build = f"from setuptools import build_meta as b; b.build_sdist({str(directory)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=copy, check=True, capture_output=True, timeout=BUILD_S)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(directory), str(copy))
    return directory


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """A directory with the wheel installed in it."""
    (wheel,) = built.glob("raft_chat-*.whl")
    pip("install", "--target", str(built / "site"), str(wheel))
    return built / "site"


def run_installed(installed: Path, *arguments: str) -> str:
    """Run Python with the installation before anything else that it could import, and return its output."""
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-P", *arguments], env=environment, capture_output=True, text=True, timeout=BUILD_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check_page_and_post(directory: Path, command: Sequence[str]) -> None:
    """A single node started by `command` takes a post, and serves its page and all the files that belong to it."""
    with Cluster(directory, 1, command=command) as cluster:
        node = cluster.start_ready().nodes[1]
        assert cluster.post(1, "general", "hello").status == 201
        with HttpClient(node.port) as client:
            page = client.request("GET", "/")
            assert page.status == 200
            assert page.headers["Content-Type"].startswith("text/html")
            served = {name: client.request("GET", f"/static/{name}") for name in static_files()}
            assert {name: answer.body for name, answer in served.items()} == static_files()
            assert {answer.status for answer in served.values()} == {200}
            assert client.request("GET", "/static/__init__.py").status == 404


def static_files() -> dict[str, bytes]:
    """The page's files as they lie in the checkout, by their paths."""
    files = (path for path in (ROOT / "static").rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc"})
    return {path.relative_to(ROOT / "static").as_posix(): path.read_bytes() for path in files}


def test_a_checkout_serves_the_page(tmp_path: Path) -> None:
    check_page_and_post(tmp_path, (sys.executable, str(ROOT / "raft_chat.py")))


def test_an_installed_wheel_serves_the_page(tmp_path: Path, installed: Path) -> None:
    """By the command that it installs, with what it installed before anything else that could be imported."""
    script = installed / "bin" / "raft-chat"
    check_page_and_post(tmp_path, ("env", f"PYTHONPATH={installed}", sys.executable, "-P", str(script)))


def test_a_wheel_holds_every_module_and_nothing_else(installed: Path) -> None:
    found = {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")}
    assert found == {path.relative_to(ROOT).as_posix() for path in sources().values()}
    (script,) = (installed / "bin").iterdir()
    assert script.name == "raft-chat"


def test_a_source_distribution_installs_the_same_files_as_the_wheel(built: Path, installed: Path) -> None:
    (archive,) = built.glob("raft_chat-*.tar.gz")
    pip("install", "--no-build-isolation", "--no-compile", "--target", str(built / "from_source"), str(archive))
    assert contents(built / "from_source") == contents(installed)


def contents(site: Path) -> dict[str, bytes]:
    """The files of an installation, without what pip writes about it."""
    about = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
    files = (path for path in site.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name not in about)
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in files}


def test_a_source_distribution_brings_the_examples_and_the_docs(built: Path) -> None:
    (archive,) = built.glob("raft_chat-*.tar.gz")
    with tarfile.open(archive) as content:
        names = {name.partition("/")[2] for name in content.getnames()}
    wanted = [path for path in (ROOT / "deploy").iterdir() if path.is_file()]
    wanted += [*(ROOT / "docs").glob("*.md"), ROOT / "LICENSE", ROOT / "CHANGELOG.md"]
    assert {path.relative_to(ROOT).as_posix() for path in wanted} <= names
    assert not any(name.startswith(("tests", "deploy/secrets")) for name in names)


def test_the_metadata_are_those_of_setup_cfg(installed: Path) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    (found,) = importlib.metadata.distributions(name="raft-chat", path=[str(installed)])
    metadata = found.metadata
    assert metadata["Version"] == config["metadata"]["version"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert "MIT" in (metadata["License"] or metadata["License-Expression"])
    assert (ROOT / "README.md").read_text() in (found.read_text("METADATA") or "")
    needed = {requirement.partition("<")[0] for requirement in found.requires or () if "extra" not in requirement}
    assert needed == {"werkzeug", "simple-websocket"}
    (license_text,) = (path for path in installed.glob("raft_chat-*.dist-info/**/LICENSE"))
    assert license_text.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_version_is_written_in_one_place(installed: Path) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    version = config["metadata"]["version"]
    assert run_installed(installed, str(installed / "bin" / "raft-chat"), "version") == f"raft-chat {version}\n"
    assert [path for path in sources().values() if f'"{version}"' in path.read_text()] == []


HELP_OF_ALL = """
import contextlib, raft_chat, sys
from chat.process.sub_commands import SUB_COMMANDS
for command in ("", *SUB_COMMANDS):
    with contextlib.suppress(SystemExit):
        raft_chat.main([*filter(None, [command]), "--help"])
"""


def test_each_installed_command_has_a_help(installed: Path) -> None:
    text = run_installed(installed, "-c", HELP_OF_ALL)
    titles = [line.split()[:3] for line in text.splitlines() if line.startswith("usage: raft-chat")]
    assert [title[2] for title in titles[1:]] == list(SUB_COMMANDS)


def test_an_installed_wheel_makes_a_bundle_that_serves_the_page(tmp_path: Path, installed: Path) -> None:
    """Without site-packages, as it is carried to another machine; `tests/test_bundle.py` has that of a checkout."""
    archive = tmp_path / "raft-chat.pyz"
    said = run_installed(installed, str(installed / "bin" / "raft-chat"), "bundle", "--output", str(archive))
    assert ", raft_chat-" in said
    (found,) = importlib.metadata.distributions(name="raft-chat", path=[str(archive)])
    assert (ROOT / "README.md").read_text() in (found.read_text("METADATA") or "")
    check_page_and_post(tmp_path, (sys.executable, "-I", "-S", str(archive)))
