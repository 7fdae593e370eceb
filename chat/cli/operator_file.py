"""operator.json: the operator's token.  Anybody who can read a node's data directory may do there what an admin may.

The node writes a new token at each start, so that a copy of the directory is useless.
"""

import json
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

NAME = "operator.json"
BYTES_MAX = 10_000  # a longer one is none of ours


class OperatorFile(NamedTuple):
    """The URL of the node on its own machine, its operator's token, and the file of its certificate, if it has one."""

    url: str
    token: str
    certificate: str = ""


def encode(file: OperatorFile) -> bytes:
    """The file's content: one line of JSON."""
    tls = {"Certificate": file.certificate} if file.certificate else {}
    return json.dumps({"Url": file.url, "Token": file.token, **tls}).encode() + b"\n"


def read(data_dir: Path) -> OperatorFile:
    """The file that a node wrote.  Raises OSError if it cannot be read, ValueError if no node wrote it."""
    with (data_dir / NAME).open("rb") as file:
        value = json.loads(file.read(BYTES_MAX))
    match value:
        case {"Url": str(url), "Token": str(token)} if urlsplit(url).port and token.isascii() and token.isprintable():
            return OperatorFile(url, token, value.get("Certificate", ""))
    raise ValueError("not what a node writes")
