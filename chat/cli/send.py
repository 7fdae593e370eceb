"""raft-chat send ROOM [TEXT|-]: send one message, or each line of stdin as a message.

Rules
- A message is sent again, to the next node and under the same ClientId, until it is acknowledged: it stands once.
- Lines keep their order.  At most WINDOW of them wait for their acknowledgement.
- The exit code is 0 if all were acknowledged, 1 if one was refused, 3 if it is not known what became of one.
"""

import getpass
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from queue import Empty, Queue
from typing import NamedTuple

from chat.cli.node_client import CommandFailed, sub_parser
from chat.cli.node_socket import Disconnected, Frame, NodeSocket, NotReached, add_node_options, open_socket
from chat.errors import Problem
from chat.services import validation

WINDOW = 64  # messages under way: a node takes that many of a socket
ANSWER_S = 30.0  # without an acknowledgement, and the command gives up
STEP_S = 0.05  # how soon a line on stdin is sent while acknowledgements are waited for
RETRY_S = 0.5  # after a node could not do it now
NOT_KNOWN = 3  # the exit code
STDIN = "-"


class _Message(NamedTuple):
    number: int  # which line of stdin
    text: str
    client_id: str


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("send", "Send a message to a room, or each line of stdin as a message.")
    parser.add_argument("room", metavar="ROOM")
    parser.add_argument(
        "text",
        metavar="TEXT",
        nargs="?",
        default=STDIN,
        help="the message.  Without TEXT, or with -, each line of stdin is one",
    )
    text = "the sender's name, if users do not sign in (default: your name on this machine)"
    parser.add_argument("--user", help=text)
    add_node_options(parser, environment)
    given = parser.parse_args(arguments)
    user = None if given.token else given.user or getpass.getuser()
    sending = _Sending(open_socket(given), given.room, user)
    try:
        sending.run(_lines() if given.text == STDIN else iter([given.text]))
    except NotReached as error:
        print(f"raft-chat: {error} {sending.state()}", file=sys.stderr)
        return NOT_KNOWN
    return 0


def _lines() -> Iterator[str]:
    """The lines of stdin that are not empty.  Raises CommandFailed for bytes that are not UTF-8."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise CommandFailed(f"Line {number} of stdin is not UTF-8. The lines before it were sent.") from None
        if text:
            yield text


def _checked(number: int, text: str) -> str:
    """The message, as a node takes it.  Raises CommandFailed."""
    try:
        return validation.message(f"message {number}", text)
    except Problem as problem:
        raise CommandFailed(f"{problem.detail}. The messages before it were sent.") from None


class _Sending:
    """A run of the command: a thread of its own reads lines, and the caller's thread serves the socket."""

    def __init__(self, socket: NodeSocket, room: str, user: str | None) -> None:
        self._socket = socket
        self._room = room
        self._user = {} if user is None else {"User": user}
        self._run_id = secrets.token_hex(8)
        self._lines: Queue[_Message | CommandFailed | None] = Queue(WINDOW)  # None: there are no more
        self._all_read = False
        self._failed: CommandFailed | None = None  # in reading; earlier lines are sent first
        self._unacknowledged: dict[str, _Message] = {}  # by ClientId, in their order
        self._acknowledged = 0
        self._progress_s = 0.0

    def run(self, texts: Iterator[str]) -> None:
        """Send all.  Raises CommandFailed for a refused message, NotReached if it is not known what became of one."""
        threading.Thread(target=self._read, args=(texts,), name="lines", daemon=True).start()
        self._connect()
        while not (self._all_read and not self._unacknowledged):
            try:
                self._step()
            except Disconnected:
                self._connect()
        self._socket.close()
        if self._failed is not None:
            raise self._failed

    def state(self) -> str:
        """A sentence on how much was sent."""
        unknown = len(self._unacknowledged)
        return f"{self._acknowledged} messages were acknowledged, and {unknown} may or may not have been posted."

    def _read(self, texts: Iterator[str]) -> None:
        try:
            for number, text in enumerate(texts, 1):
                self._lines.put(_Message(number, _checked(number, text), f"{self._run_id}-{number}"))
            self._lines.put(None)
        except CommandFailed as error:
            self._lines.put(error)

    def _connect(self) -> None:
        """Reach a node, and send again what is not acknowledged."""
        while True:
            self._socket.connect()
            try:
                self._socket.send({"Action": "subscribe", "Rooms": []})  # else it gets every post of every room
                for message in self._unacknowledged.values():
                    self._post(message)
                return
            except Disconnected:
                self._give_up_in_time()

    def _step(self) -> None:
        """Send what was read, then wait for a moment for what the node says."""
        while not self._all_read and len(self._unacknowledged) < WINDOW:
            try:
                line = self._lines.get(block=not self._unacknowledged)
            except Empty:
                break
            if not isinstance(line, _Message):
                self._all_read, self._failed = True, line
            else:
                if not self._unacknowledged:
                    self._progress_s = time.monotonic()
                self._unacknowledged[line.client_id] = line
                self._post(line)
        if self._unacknowledged:
            self._take(self._socket.receive(STEP_S) or {})
            self._give_up_in_time()

    def _post(self, message: _Message) -> None:
        post = {"Message": message.text, "ClientId": message.client_id, **self._user}
        self._socket.send({"Action": "post", "RoomName": self._room, "Post": post})

    def _take(self, frame: Frame) -> None:
        match frame:
            case {"Ack": {"ClientId": str(client_id)}}:
                if self._unacknowledged.pop(client_id, None) is not None:
                    self._acknowledged += 1
                    self._progress_s = time.monotonic()
            case {"Hello": {"Nodes": nodes}}:
                self._socket.add_nodes(nodes)
            case {"Error": {"Temporary": True}}:
                threading.Event().wait(RETRY_S)
                raise Disconnected  # the posts behind it are refused too: all are sent again, in order
            case {"Error": {"ClientId": str(client_id), "detail": str(detail)}} if client_id in self._unacknowledged:
                message = self._unacknowledged[client_id]
                raise CommandFailed(
                    f"Message {message.number} was refused: {detail.removesuffix('.')}. {self._before(message)}"
                )

    def _before(self, message: _Message) -> str:
        return f"The {message.number - 1} before it were sent." if message.number > 1 else "Nothing was sent."

    def _give_up_in_time(self) -> None:
        if self._unacknowledged and time.monotonic() > self._progress_s + ANSWER_S:
            raise NotReached(f"No node has acknowledged a message for {ANSWER_S:.0f} s.")
