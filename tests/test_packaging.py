"""The server and its page come up wherever they are put: in a checkout, installed from a wheel, in one zip file."""

import importlib.metadata
import shutil
import subprocess
import sys
import zipapp
from collections.abc import Sequence
from pathlib import Path

import pytest

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
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel installed in it.

    The wheel is built from a copy, because setuptools would leave a build/ directory behind and ship what lies in it.
    """
    directory = tmp_path_factory.mktemp("packaging")
    copy = directory / "checkout"
    copy.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "raft_chat.py"):
        shutil.copy(ROOT / name, copy)
    for name in ("raft", "chat", "static"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(directory), str(copy))
    (wheel,) = directory.glob("raft_chat-*.whl")
    pip("install", "--target", str(directory / "site"), str(wheel))
    return directory / "site"


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


def test_one_zip_file_serves_the_page(tmp_path: Path, installed: Path) -> None:
    """With its dependencies in it and without site-packages, as it is carried to another machine."""
    content = tmp_path / "content"
    shutil.copytree(installed, content)
    for name in DEPENDENCIES:
        for file in importlib.metadata.files(name) or ():
            if ".." not in file.parts and file.suffix != ".pyc":
                target = content / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), target)
    archive = tmp_path / "raft-chat.pyz"
    zipapp.create_archive(content, archive, main="raft_chat:main", compressed=True)
    check_page_and_post(tmp_path, (sys.executable, "-I", "-S", str(archive)))
