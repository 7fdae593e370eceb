"""The command that starts this program again, for children of a node."""

import sys
from importlib.util import find_spec
from typing import Final
from zipimport import zipimporter

REWRITE: Final = "rewrite-log"  # the sub-commands of the node's own children
BACK_UP: Final = "write-backup"


def own_command() -> list[str]:
    """Return the command, with the same Python and the same isolation.

    Whoever runs it passes the places to import from in PYTHONPATH, which an isolated Python (-I) ignores.  A bundle is
    named instead.
    """
    isolation = [flag for flag, is_set in (("-I", sys.flags.isolated), ("-S", sys.flags.no_site)) if is_set]
    spec = find_spec(__name__)
    loader = None if spec is None else spec.loader
    return [sys.executable, *isolation, *([loader.archive] if isinstance(loader, zipimporter) else ["-m", "raft_chat"])]
