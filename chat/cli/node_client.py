"""The HTTP client of the sub-commands: it speaks to a running node, with the token of its operator.json.

An error is one line on stderr and exit code 1: a CommandFailed, whose text says what to do.
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
    """A command that failed; one line that says why."""


def add_data_dir(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The one option that all sub-commands have."""
    default = refuse_control_characters("data-dir", environment.get(f"{PREFIX}DATA_DIR", DATA_DIR_DEFAULT))
    text = f"the data directory of a running node on this machine (default: {default})"
    parser.add_argument("--data-dir", type=Path, default=Path(default), help=text.replace("%", "%%"))


def sub_parser(name: str, description: str) -> Parser:
    """The parser of one sub-command."""
    return Parser(prog=f"raft-chat {name}", description=description, allow_abbrev=False)


class Answer(NamedTuple):
    """The answer to a request that succeeded."""

    value: object  # of its JSON; None for none
    next: str | None  # the URL of the next page, by its header Link


class NodeClient:
    """Requests to one node."""

    def __init__(self, data_dir: Path) -> None:
        """Read the node's token.  Raises CommandFailed if that fails."""
        path = data_dir / operator_file.NAME
        try:
            self._url, self._token = operator_file.read(data_dir)
        except FileNotFoundError:
            advice = "Start the node, or name its data directory with --data-dir."
            raise CommandFailed(f"{path} does not exist. {advice}") from None
        except OSError as error:
            advice = "Run this as the user that the node runs as."
            raise CommandFailed(f"{path} cannot be read: {error.strerror}. {advice}") from None
        except ValueError:
            raise CommandFailed(f"{path} was not written by a node. Start the node again.") from None

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Answer:
        """Send a request, and return the answer.  Raises CommandFailed if there is none, or the node refuses."""
        parts = urlsplit(self._url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            raise CommandFailed(f"The node at {self._url} has not answered for {TIMEOUT_S:.0f} s.") from None
        except (OSError, HTTPException):
            advice = "Start the node, or name the data directory of a running one with --data-dir."
            raise CommandFailed(f"No node answers at {self._url}. {advice}") from None
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
                return f"The node at {self._url} did not write {operator_file.NAME}. Start its own node again."
            case {"detail": str(detail)}:
                return detail
        return f"The node at {self._url} answered with status {status}."


def _json(content: bytes) -> object:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
