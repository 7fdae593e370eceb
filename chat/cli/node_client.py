"""The HTTP client of the sub-commands: it speaks to a running node, with a token or that of its operator.json.

An error is one line on stderr and exit code 1: a CommandFailed, whose text says what to do.  OutcomeNotKnown has exit
code 3 in the commands that change something.
"""

import argparse
import json
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from chat.cli import operator_file
from chat.cli.option_table import OptionRefused, Parser
from chat.cli.options import PREFIX, refuse_control_characters
from chat.cli.tls_client import PinnedConnection, WrongCertificate, add_ca, context_of, not_believed
from chat.logs.log_lines import escaped

TIMEOUT_S = 60.0  # a node answers any request within half of it
ANSWER_BYTES_MAX = 4 << 20
DATA_DIR_DEFAULT = "raft-chat-1"
NOT_KNOWN = 3  # the exit code of OutcomeNotKnown
_UNUSABLE = re.compile(r"[^!-~]")  # in a path as it is sent, and in a header's token


class CommandFailed(OptionRefused):
    """A command that failed; one line that says why."""


class OutcomeNotKnown(CommandFailed):
    """A change that may have been made, or may still be."""


class RefusedByNode(CommandFailed):
    """A request that a node refused; `code` is that of the problem, "" if it has none."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


class NotAnswered(CommandFailed):
    """A node gave no answer, or only that it cannot answer now: another one may.  `value`: the JSON that came."""

    def __init__(self, text: str, value: object = None) -> None:
        super().__init__(text)
        self.value = value


def add_data_dir(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The one option that all sub-commands have."""
    default = refuse_control_characters("data-dir", environment.get(f"{PREFIX}DATA_DIR", DATA_DIR_DEFAULT))
    text = f"the data directory of a running node on this machine (default: {default})"
    parser.add_argument("--data-dir", type=Path, default=Path(default), help=text.replace("%", "%%"))


def add_node(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The options of a command that any node serves: `--from` and `--token`, or `--data-dir`."""
    text = (
        "the URL of a node, or several with commas between: if one does not answer, try the next "
        "(default: the node of --data-dir)"
    )
    parser.add_argument("--from", dest="urls", metavar="URL", default=environment.get(f"{PREFIX}FROM", ""), help=text)
    text = f"an admin's token.  Set {PREFIX}TOKEN instead to keep it out of the process list"
    parser.add_argument("--token", default=environment.get(f"{PREFIX}TOKEN", ""), help=text)
    add_ca(parser, environment)
    add_data_dir(parser, environment)


def open_client(given: argparse.Namespace, timeout_s: float = TIMEOUT_S) -> "NodeClient":
    """A client with the options of `add_node`.  Raises OptionRefused, and CommandFailed for the node's file."""
    token = checked_token(given.token)
    if not given.urls:
        return NodeClient(given.data_dir, token=token, timeout_s=timeout_s)
    urls = checked_urls(given.urls)
    return NodeClient(given.data_dir, urls=urls, token=token, timeout_s=timeout_s, ca=given.ca)


def checked_urls(text: str) -> list[str]:
    """The URLs of `--from`.  Raises OptionRefused."""
    urls = [url.strip().rstrip("/") for url in refuse_control_characters("from", text).split(",")]
    for url in urls:
        if not is_url(url):
            raise OptionRefused(f"--from: {url!r} is not a URL like http://127.0.0.1:12380")
    return urls


def is_url(url: str) -> bool:
    """Return whether this is the URL of a node, which may have a path in front of its own."""
    try:
        parts = urlsplit(url)
        (parts.hostname or "").encode("idna")  # UnicodeError, a ValueError, for what can be no host
        is_plain = not _UNUSABLE.search(parts.path) and not parts.query and not parts.fragment
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and is_plain
    except ValueError:
        return False


def checked_token(token: str) -> str:
    """The value of `--token`.  Raises OptionRefused for what no header can carry, without showing it."""
    refuse_control_characters("token", token)
    if _UNUSABLE.search(token):
        raise OptionRefused("--token: this is no token: it has a space, or a character that is not ASCII")
    return token


def sub_parser(name: str, description: str) -> Parser:
    """The parser of one sub-command."""
    return Parser(prog=f"raft-chat {name}", description=description, allow_abbrev=False)


class Answer(NamedTuple):
    """The answer to a request that succeeded."""

    value: object  # of its JSON; None for none
    next: str | None  # the URL of the next page, by its header Link


class NodeClient:
    """Requests to one node, or to the first of several that answers."""

    def __init__(
        self,
        data_dir: Path,
        *,
        urls: Sequence[str] = (),
        token: str = "",
        timeout_s: float = TIMEOUT_S,
        ca: str = "",
    ) -> None:
        """Without `urls`, use the node of `data_dir`, with its operator's token.

        `ca`: the file of the CAs by which nodes over TLS are believed, "" for those of this system.  The node of
        `data_dir` is believed by its certificate file.
        Raises CommandFailed if its file cannot be read.
        """
        self._urls, self._token, self._timeout_s = list(urls), token, timeout_s
        self._is_operators = not token and not urls
        self._ca, self._certificate = ca, ""
        if not urls:
            file = _read_operator_file(data_dir)
            self._urls, self._token, self._certificate = [file.url], token or file.token, file.certificate

    def request(
        self, method: str, path: str, body: Mapping[str, object] | str | None = None, *, repeatable: bool = False
    ) -> Answer:
        """Send a request, and return the answer.  Raises CommandFailed if there is none, or the node refuses.

        `body`: JSON, or a text to send as it is.  `repeatable`: the request may be carried out twice without harm, so
        another node is asked if one has not answered.  Then OutcomeNotKnown says that a change may have been made.
        """
        unanswered: CommandFailed | None = None
        for url in self._urls:
            try:
                return self._request_at(url, method, path, body)
            except NotAnswered as error:
                unanswered = unanswered if isinstance(unanswered, OutcomeNotKnown) else error
            except OutcomeNotKnown as error:
                unanswered = error
                if not repeatable:
                    break
        assert unanswered is not None
        if method == "GET":
            raise NotAnswered(str(unanswered))
        raise unanswered

    def _request_at(self, url: str, method: str, path: str, body: Mapping[str, object] | str | None) -> Answer:
        content = json.dumps(body) if isinstance(body, Mapping) else body
        status, value, link = self._exchange(url, method, path, None if content is None else content.encode())
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            raise NotAnswered(self._refusal(url, status, value))
        if status == HTTPStatus.GATEWAY_TIMEOUT:
            raise OutcomeNotKnown(self._refusal(url, status, value))
        if status == HTTPStatus.PERMANENT_REDIRECT:
            raise CommandFailed(
                f"The node at {url} needs TLS. Name it with --from and a URL that begins with https://."
            )
        if status >= 400:
            code = value.get("code") if isinstance(value, dict) else None
            raise RefusedByNode(self._refusal(url, status, value), code if isinstance(code, str) else "")
        # `prev` comes before `next` in a header that has both.
        target = link.rpartition("<")[2].partition(">")[0] if 'rel="next"' in link else None
        return Answer(value, target)

    @property
    def urls(self) -> list[str]:
        """The URLs of the nodes, in the order in which they are asked."""
        return list(self._urls)

    @contextmanager
    def streamed(self, url: str, path: str, headers: Mapping[str, str]) -> Iterator[HTTPResponse]:
        """Send a GET to one node, and give its answer, whose body the caller reads.

        Raises CommandFailed, and NotAnswered if the node cannot be reached.
        """
        connection = self._connected(url)
        try:
            try:
                connection.request("GET", urlsplit(url).path + path, None, {**self._own_headers(), **headers})
                response = connection.getresponse()
            except (OSError, HTTPException):
                raise NotAnswered(self._nobody_at(url)) from None
            yield response
        finally:
            connection.close()

    def refused(self, url: str, response: HTTPResponse) -> CommandFailed:
        """Return the error for an answer of `streamed` that is a refusal; NotAnswered: another node may answer."""
        try:
            value = _json(_read(response))
        except (OSError, HTTPException):
            value = None
        text = self._refusal(url, response.status, value)
        return NotAnswered(text, value) if response.status == HTTPStatus.SERVICE_UNAVAILABLE else CommandFailed(text)

    def _own_headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _connected(self, url: str) -> HTTPConnection:
        """Connect to a node.  Raises CommandFailed, NotAnswered."""
        connection = self._connection(urlsplit(url))
        try:
            connection.connect()
        except WrongCertificate:
            connection.close()
            raise CommandFailed(
                f"The node at {url} shows another certificate than the one in {self._certificate}. "
                "Send it SIGHUP if that file is new."
            ) from None
        except ssl.SSLCertVerificationError as not_valid:
            connection.close()
            raise CommandFailed(not_believed(url, not_valid)) from None
        except OSError:
            connection.close()
            raise NotAnswered(self._nobody_at(url)) from None
        return connection

    def _exchange(self, url: str, method: str, path: str, content: bytes | None) -> tuple[int, object, str]:
        """Return the status, the value and the header Link of a node's answer."""
        connection = self._connected(url)
        try:
            connection.request(method, urlsplit(url).path + path, content, self._own_headers())
            response = connection.getresponse()
            return response.status, _json(_read(response)), response.getheader("Link") or ""
        except TimeoutError:
            raise OutcomeNotKnown(f"The node at {url} has not answered for {self._timeout_s:.0f} s.") from None
        except (OSError, HTTPException):
            raise OutcomeNotKnown(self._nobody_at(url)) from None
        finally:
            connection.close()

    def _connection(self, parts: SplitResult) -> HTTPConnection:
        host, port = parts.hostname or "", parts.port
        if parts.scheme != "https":
            return HTTPConnection(host, port, timeout=self._timeout_s)
        if self._certificate:
            return PinnedConnection(host, port, timeout=self._timeout_s, file=self._certificate)
        return HTTPSConnection(host, port, timeout=self._timeout_s, context=context_of(self._ca))

    def _nobody_at(self, url: str) -> str:
        if self._is_operators:
            advice = "Start the node, or name the data directory of a running one with --data-dir."
        else:
            advice = "Start the node, or name a running one with --from."
        return f"No node answers at {url}. {advice}"

    def _refusal(self, url: str, status: int, value: object) -> str:
        match value:
            case {"code": "bad_token"} if self._is_operators:
                return f"The node at {url} did not write {operator_file.NAME}. Start its own node again."
            case {"code": "bad_token" | "login_needed"}:
                return f"The node at {url} does not know this token, or asks for one. Pass an admin's with --token."
            case {"detail": str(detail)}:
                return escaped(detail)  # whatever answers there may not write to the terminal as it likes
        return f"The node at {url} answered with status {status}."


def _read_operator_file(data_dir: Path) -> operator_file.OperatorFile:
    path = data_dir / operator_file.NAME
    try:
        return operator_file.read(data_dir)
    except FileNotFoundError:
        advice = "Start the node, or name its data directory with --data-dir."
        raise CommandFailed(f"{path} does not exist. {advice}") from None
    except OSError as error:
        advice = "Run this as the user that the node runs as."
        raise CommandFailed(f"{path} cannot be read: {error.strerror}. {advice}") from None
    except ValueError:
        raise CommandFailed(f"{path} was not written by a node. Start the node again.") from None


def _read(response: HTTPResponse) -> bytes:
    return response.read(ANSWER_BYTES_MAX)


def _json(content: bytes) -> object:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None
