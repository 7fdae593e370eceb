"""operator.json: by it whoever may read a node's data directory may do at that node whatever an admin may.

The node writes it anew at each start, with another token, so that a copy of the directory proves nothing.
"""

import json
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

NAME = "operator.json"
BYTES_MAX = 10_000  # a longer one is none of ours


class OperatorFile(NamedTuple):
    """Where the node is reached from its own machine, and what it knows its operator by."""

    url: str
    token: str


def encode(file: OperatorFile) -> bytes:
    """The file's content: one line of JSON."""
    return json.dumps({"Url": file.url, "Token": file.token}).encode() + b"\n"


def read(data_dir: Path) -> OperatorFile:
    """What a node wrote.  Raises OSError where it cannot be read, ValueError where no node wrote it."""
    with (data_dir / NAME).open("rb") as file:
        value = json.loads(file.read(BYTES_MAX))
    match value:
        case {"Url": str(url), "Token": str(token)} if urlsplit(url).port and token.isascii() and token.isprintable():
            return OperatorFile(url, token)
    raise ValueError("not what a node writes")
