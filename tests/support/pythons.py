"""The Pythons of this machine that raft-chat runs on, found as .ci/run finds them."""

import os
import re
import subprocess
import sys
from pathlib import Path

THIS = sys.executable
_OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
_VERSION = "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"
_NAME = re.compile(r"python3\.([0-9]+)")
OLDEST = 12  # .11 is the one that runs all tests
RUN_S = 20


def other_pythons() -> list[tuple[str, str]]:
    """(version, path) of an interpreter of each minor version from 3.12 on but this one's."""
    folders = map(Path, os.environ.get("PATH", "").split(os.pathsep))
    on_path = [path for folder in folders if folder.is_dir() for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found: dict[str, str] = {}
    for path in [*on_path, *root.glob("versions/3.*/bin/python")]:
        version = _version(path)
        if version and int(version[2:]) >= OLDEST and version != _OWN:
            found.setdefault(version, str(path))
    return sorted(found.items())


def _version(path: Path) -> str:
    """The minor version of an interpreter; "" if it does not run."""
    try:
        done = subprocess.run([path, "-c", _VERSION], capture_output=True, text=True, timeout=RUN_S, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
