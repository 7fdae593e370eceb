"""The version of the installed program."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version


@cache
def program_version() -> str:
    """The version; "unknown" in a checkout that was not installed."""
    try:
        return version("raft-chat")
    except PackageNotFoundError:
        return "unknown"
