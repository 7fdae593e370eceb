"""A websocket to any node of the cluster, for the commands that send and show messages.

Rules
- All nodes that Hello names are tried in turn, so a node that stops costs a moment and no message.
- A connection that has been silent for two ping intervals counts as lost.
- One thread sends.  simple-websocket answers pings from its own thread, with frames that fit any socket buffer.
"""

import argparse
import json
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus

from simple_websocket import Client, ConnectionClosed, ConnectionError
from simple_websocket.errors import SimpleWebsocketError
from wsproto.utilities import ProtocolError

from chat.cli.node_client import CommandFailed, checked_token, checked_urls, is_url
from chat.cli.options import PREFIX
from chat.cli.tls_client import RECORD_BYTES, SharedContext, add_ca, context_of, not_believed

URL_DEFAULT = "http://127.0.0.1:12380"
TRY_S = 30.0  # to reach a node: a cluster that starts or elects is ready sooner
PAUSE_S, PAUSE_MAX_S = 0.1, 2.0  # after each node was tried once
PING_S = 5.0
SIGNAL_S = 0.5  # a wait without end would not see a Ctrl-C that comes in the moment in which it begins
FRAME_BYTES_MAX = 8 << 20  # above the largest that a node sends
NODES_MAX = 64  # a cluster has fewer

Frame = dict[str, object]


class Disconnected(Exception):
    """The connection is lost; another node may answer."""


class NotReached(CommandFailed):
    """No node answered in time."""


class NodeSocket:
    """A connection to one of the cluster's nodes, one at a time.  Frames are JSON objects."""

    def __init__(self, urls: Sequence[str], token: str, ca: str = "") -> None:
        """`ca`: the file of the CAs by which nodes over TLS are believed; "": those of this system."""
        self._urls = list(urls)
        self._ca = ca
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client: Client | None = None

    def connect(self, try_s: float = TRY_S) -> None:
        """Connect to the next node that answers.

        Raises NotReached after `try_s` seconds, and CommandFailed if a node refuses for good.
        """
        self.close()
        until, pause_s = time.monotonic() + try_s, PAUSE_S
        while True:
            for _ in self._urls:
                url = self._urls[0]
                self._urls.append(self._urls.pop(0))
                if self._reach(url):
                    return
            if time.monotonic() + pause_s > until:
                raise NotReached(f"No node answers at {', '.join(self._urls)}. Name a node that runs with --from.")
            threading.Event().wait(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _reach(self, url: str) -> bool:
        """Connect to this node, and return whether it answers.  Raises CommandFailed if asking again would not help."""
        try:
            self._client = Client(
                _websocket_url(url),
                headers=self._headers,
                ping_interval=PING_S,
                max_message_size=FRAME_BYTES_MAX,
                receive_bytes=RECORD_BYTES,
                ssl_context=SharedContext(context_of(self._ca)) if url.startswith("https:") else None,
                thread_class=partial(threading.Thread, daemon=True),
            )
        except ConnectionError as refused:
            _refuse_for_good(url, refused.status_code)
        except ssl.SSLCertVerificationError as not_valid:
            raise CommandFailed(not_believed(url, not_valid)) from None
        except (OSError, SimpleWebsocketError, ProtocolError):
            pass  # nothing listens there, or it is no node
        return self._client is not None

    def add_nodes(self, nodes: object) -> None:
        """Remember the other nodes of the cluster, as Hello names them; none without TLS if all so far have it."""
        if isinstance(nodes, list):
            schemes = ("https:",) if all(url.startswith("https:") for url in self._urls) else ("https:", "http:")
            named = [url for url in nodes if isinstance(url, str) and is_url(url) and url.startswith(schemes)]
            new = [url for url in named if url not in self._urls]
            self._urls = [*new, *self._urls][:NODES_MAX]

    def send(self, frame: Mapping[str, object]) -> None:
        """Send one frame.  Raises Disconnected."""
        try:
            self._connected().send(json.dumps(frame))
        except (OSError, ConnectionClosed):
            raise Disconnected from None

    def receive(self, timeout_s: float = SIGNAL_S) -> Frame | None:
        """The next frame; None if there was none for so long.  Raises Disconnected."""
        try:
            text = self._connected().receive(timeout_s)
        except ConnectionClosed:
            raise Disconnected from None
        if text is None:
            return None
        try:
            frame = json.loads(text)
        except ValueError:
            raise Disconnected from None  # no node sends this
        return frame if isinstance(frame, dict) else {}

    def _connected(self) -> Client:
        if self._client is None:
            raise Disconnected
        return self._client

    def close(self) -> None:
        """End the connection, if there is one."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, SimpleWebsocketError, ProtocolError):  # it is over already
                client.close()


def add_node_options(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The options of commands that speak to a node as a user: `--from` and `--token`."""
    urls, token = environment.get(f"{PREFIX}FROM", URL_DEFAULT), environment.get(f"{PREFIX}TOKEN", "")
    text = f"the URL of a node, or several with commas between: if one does not answer, try the next (default: {urls})"
    parser.add_argument("--from", dest="urls", metavar="URL", default=urls, help=text.replace("%", "%%"))
    text = f"a user's token, if users have to sign in.  Set {PREFIX}TOKEN instead to keep it out of the process list"
    parser.add_argument("--token", default=token, help=text)
    add_ca(parser, environment)


def open_socket(given: argparse.Namespace) -> NodeSocket:
    """A socket with the options of `add_node_options`, not connected.  Raises OptionRefused."""
    if given.ca:
        context_of(given.ca)  # a file that cannot be used is refused, whatever the URLs are
    return NodeSocket(checked_urls(given.urls), checked_token(given.token), given.ca)


def _websocket_url(url: str) -> str:
    return f"ws{url.removeprefix('http')}/ws"


def _refuse_for_good(url: str, status: int | None) -> None:
    """Raises CommandFailed for a status that asking again does not change."""
    match status:
        case HTTPStatus.UNAUTHORIZED:
            raise CommandFailed(f"{url} does not know this token, or asks for one. Pass a user's token with --token.")
        case HTTPStatus.FORBIDDEN:
            raise CommandFailed(f"{url} does not let this token in.")
        case HTTPStatus.PERMANENT_REDIRECT:
            raise CommandFailed(f"{url} needs TLS. Name the node with --from and a URL that begins with https://.")
        case HTTPStatus.NOT_FOUND:
            raise CommandFailed(f"{url} is no raft-chat node. Name one with --from, with its path if it has one.")
