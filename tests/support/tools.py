"""What a test needs of the machine: without it the test is skipped, and fails where CI=true."""

import os
import shutil
from collections.abc import Sequence

import pytest


def require(missing: Sequence[str]) -> None:
    """Skip the test if something is missing; fail it in CI, which has to install everything."""
    if missing:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"this needs {', '.join(missing)}")


def absent(*programs: str) -> list[str]:
    """Return those of the programs that are not on PATH."""
    return [program for program in programs if shutil.which(program) is None]
