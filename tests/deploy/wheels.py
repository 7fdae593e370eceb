"""A package index in a directory: wheels of what is installed here, so that pip needs no network."""

import importlib.metadata
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

RUN_TIME = ("werkzeug", "markupsafe", "simple-websocket", "wsproto", "h11")
BUILD_TIME = ("setuptools", "wheel")


def make_index(directory: Path) -> dict[str, str]:
    """Put wheels into the directory, and return the variables with which pip uses them and nothing else.

    What a build needs is found beside them: to install it anew for each build takes seconds.
    """
    for name in RUN_TIME:
        version = importlib.metadata.version(name)
        wheel = directory / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, place in _files(name):
                archive.write(path, place)
    build = directory / "build"
    for name in BUILD_TIME:
        for path, place in _files(name):
            (build / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, build / place)
    return {
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_FIND_LINKS": str(directory),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this as "no isolation"
        "PIP_NO_INDEX": "1",
        "PYTHONPATH": str(build),
    }


def _files(name: str) -> Iterator[tuple[str, str]]:
    """The path and the place of each file of a distribution, without its commands."""
    for file in importlib.metadata.files(name) or ():
        if ".." not in file.parts and file.suffix != ".pyc":
            yield str(file.locate()), file.as_posix()
