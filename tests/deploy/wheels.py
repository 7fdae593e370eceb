"""A package index in a directory: wheels of what is installed here, so that pip needs no network."""

import importlib.metadata
import zipfile
from collections.abc import Iterable
from pathlib import Path

RUN_TIME = ("werkzeug", "markupsafe", "simple-websocket", "wsproto", "h11")
BUILD_TIME = ("setuptools", "wheel")


def make_index(directory: Path, names: Iterable[str] = (*RUN_TIME, *BUILD_TIME)) -> dict[str, str]:
    """Put a wheel of each distribution there; what pip has to have in its environment to use them and no others."""
    for name in names:
        distribution = importlib.metadata.distribution(name)
        wheel = directory / f"{name.replace('-', '_')}-{distribution.version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for file in distribution.files or ():
                if ".." not in file.parts and file.suffix != ".pyc":
                    archive.write(file.locate(), file.as_posix())
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(directory), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
