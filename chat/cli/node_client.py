"""What the sub-commands share: they speak HTTP to a running node, with the token of its operator.json.

Whatever goes wrong is one line on stderr and exit code 1: a CommandFailed, whose text says what to do.
"""

import argparse
import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from chat.cli import operator_file
from chat.cli.options import PREFIX, OptionRefused, Parser, refuse_control_characters

TIMEOUT_S = 60.0  # a node answers any request within half of it
ANSWER_BYTES_MAX = 4 << 20
DATA_DIR_DEFAULT = "raft-chat-1"


class CommandFailed(OptionRefused):
    """It was not done; one line that says why."""


def add_data_dir(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The one option that all sub-commands have."""
    default = refuse_control_characters("data-dir", environment.get(f"{PREFIX}DATA_DIR", DATA_DIR_DEFAULT))
    text = f"the data directory of a node that runs on this machine (default: {default})"
    parser.add_argument("--data-dir", type=Path, default=Path(default), help=text.replace("%", "%%"))


def sub_parser(name: str, description: str) -> Parser:
    """The parser of one sub-command."""
    return Parser(prog=f"raft-chat {name}", description=description, allow_abbrev=False)


class Answer(NamedTuple):
    """Of a request that succeeded."""

    value: object  # of its JSON; None for none
    next: str | None  # where its header Link leads on to


class NodeClient:
    """Requests to one node."""

    def __init__(self, data_dir: Path) -> None:
        """Raises CommandFailed where there is no token to be had."""
        path = data_dir / operator_file.NAME
        try:
            self._url, self._token = operator_file.read(data_dir)
        except FileNotFoundError:
            advice = "start the node, or name its data directory with --data-dir"
            raise CommandFailed(f"{path} is not there: {advice}") from None
        except OSError as error:
            advice = "be who the node runs as"
            raise CommandFailed(f"{path} cannot be read: {error.strerror}: {advice}") from None
        except ValueError:
            raise CommandFailed(f"{path} is not what a node writes: start the node again") from None

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """What the node answers.  Raises CommandFailed where it does not, or where it refuses."""
        parts = urlsplit(self._url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            raise CommandFailed(f"the node at {self._url} has not answered for {TIMEOUT_S:.0f} s") from None
        except (OSError, HTTPException):
            advice = "start the node, or name the data directory of one that runs with --data-dir"
            raise CommandFailed(f"no node answers at {self._url}: {advice}") from None
        finally:
            connection.close()
        value = _json(content)
        if response.status >= 400:
            raise CommandFailed(self._refusal(response.status, value))
        link = response.getheader("Link") or ""
        # `prev` comes before `next` in a header that has both.
        target = link.rpartition("<")[2].partition(">")[0] if 'rel="next"' in link else None
        return Answer(value, target)

    def _refusal(self, status: int, value: object) -> str:
        match value:
            case {"code": "bad_token"}:
                return f"the node at {self._url} is another one than wrote {operator_file.NAME}: start its own again"
            case {"detail": str(detail)}:
                return detail
        return f"the node at {self._url} answered {status}"


def _json(content: bytes) -> object:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
