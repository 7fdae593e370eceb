"""raft-chat tail ROOM: show a room's newest messages, and each new one as it comes.

Rules
- Every message is shown once and in order: by its cursor on whatever node, and by its Id, which has no gaps.
- A connection that is lost is made again, to the next node, for as long as the command runs.
- stdout has messages only, one a line with --json; whatever else there is to say goes to stderr.
"""

import argparse
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime

from chat.cli.node_client import CommandFailed, sub_parser
from chat.cli.node_socket import TRY_S, Disconnected, Frame, NodeSocket, add_node_options, open_socket

LINES_DEFAULT, LINES_MAX = 10, 100  # a page of history
PAGE = 100  # messages asked for at once
TEMPORARY_PAUSE_S = 0.5  # before the next node is asked


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("tail", "Show the newest messages of a room, and each new one as it comes.")
    parser.add_argument("room", metavar="ROOM")
    start = parser.add_mutually_exclusive_group()
    text = f"begin with the N newest messages, 0 to {LINES_MAX:,} (default: {LINES_DEFAULT})"
    start.add_argument("--lines", type=int, default=LINES_DEFAULT, metavar="N", help=text)
    start.add_argument(
        "--since", type=int, metavar="ID", help="begin after the message with this Id; 0 begins with the first message"
    )
    parser.add_argument("--json", action="store_true", help="print each message as a line of JSON")
    parser.add_argument("--no-follow", action="store_true", help="stop after the messages that are there now")
    add_node_options(parser, environment)
    given = parser.parse_args(arguments)
    if not 0 <= given.lines <= LINES_MAX:
        parser.error(f"--lines: {given.lines} is not from 0 to {LINES_MAX:,}")
    if given.since is not None and given.since < 0:
        parser.error(f"--since: {given.since} is below 0")
    try:
        _Tail(open_socket(given), given).run()
    except BrokenPipeError:
        sys.stderr.close()  # the reader of stdout has seen enough; Python would complain of it once more at its end
    return 0


class _Tail:
    """A run of the command."""

    def __init__(self, socket: NodeSocket, given: argparse.Namespace) -> None:
        self._socket = socket
        self._room: str = given.room
        self._lines: int = given.lines
        self._json: bool = given.json
        self._follow: bool = not given.no_follow
        self._last: int | None = given.since  # the Id of the last message shown or passed over; None: not known yet
        self._newest = 0  # the highest Id heard of
        self._asked = 0  # how often history was asked for; an answer to an earlier question is passed over
        self._asking = False  # and not answered yet
        self._cursor: object = None
        self._done = False

    def run(self) -> None:
        """Show messages until there is nothing more to show."""
        try_s = TRY_S
        while not self._done:
            self._socket.connect(try_s)
            if try_s == math.inf:
                self._say("Connected again.")
            try_s = math.inf  # only a first connection that fails is an error
            try:
                self._subscribe()
                while not self._done:
                    self._take(self._socket.receive() or {})
            except Disconnected:
                self._say("The connection is lost. Trying the next node.")
        self._socket.close()

    def _subscribe(self) -> None:
        resuming = {} if self._cursor is None else {"Cursor": self._cursor}
        self._socket.send({"Action": "subscribe", "Rooms": [self._room], **resuming})
        self._asking = False
        self._ask()

    def _ask(self) -> None:
        """Ask for the messages after the last one shown, or for the newest ones."""
        if self._asking:
            return
        which = {"Limit": max(self._lines, 1)} if self._last is None else {"After": self._last, "Limit": PAGE}
        self._asked += 1
        self._asking = True
        self._socket.send({"Action": "history", "RoomName": self._room, "ClientId": self._question(), **which})

    def _question(self) -> str:
        return f"history-{self._asked}"

    def _take(self, frame: Frame) -> None:
        self._cursor = frame.get("Cursor", self._cursor)
        match frame:
            case {"Post": dict(post)} if isinstance(id := post.get("Id"), int):
                self._newest = max(self._newest, id)
                if id - 1 == self._last:
                    self._show(post)
                elif self._last is None or id > self._last:
                    self._ask()
            case {"History": {"ClientId": id, "Last": int(last), "Newest": int(newest), "Posts": list(posts)}}:
                if id == self._question():
                    self._asking = False
                    self._take_history(posts, last, newest)
            case {"Hello": {"Cursor": cursor, "Nodes": nodes}}:
                self._cursor = cursor
                self._socket.add_nodes(nodes)
            case {"Limited": _}:
                self._ask()
            case {"Event": {"Type": "RoomDeleted"}}:
                self._say(f"Room {self._room} was deleted.")
            case {"Error": {"code": "start_over"}}:
                self._start_over()
            case {"Error": {"detail": str(detail), "Temporary": bool(temporary)}}:
                self._asking = False
                self._take_error(detail, temporary=temporary)

    def _take_history(self, posts: list[Frame], last: int, newest: int) -> None:
        if self._last is None:
            posts = posts[len(posts) - min(self._lines, len(posts)) :]
            self._last = last - len(posts)
        for post in posts:
            self._show(post)
        self._last = max(self._last, last)
        self._newest = max(self._newest, newest) if posts else self._last
        if self._newest > self._last:
            self._ask()
        elif not self._follow:
            self._done = True

    def _start_over(self) -> None:
        """Show the newest messages of a history that another one has replaced."""
        self._say("The cluster was restored from an older copy. Messages shown above may be lost. Starting over.")
        self._cursor, self._last = None, None
        self._subscribe()

    def _say(self, text: str) -> None:
        line = json.dumps({"notice": text}) if self._json else f"raft-chat: {printable(text)}"
        print(line, file=sys.stderr, flush=True)

    def _take_error(self, detail: str, *, temporary: bool) -> None:
        if temporary:
            threading.Event().wait(TEMPORARY_PAUSE_S)
            raise Disconnected
        raise CommandFailed(detail)

    def _show(self, post: Frame) -> None:
        id = post.get("Id")
        assert isinstance(id, int)
        if self._last is not None and id <= self._last:
            return
        self._last = id
        print(json.dumps(post, ensure_ascii=False) if self._json else _line(post), flush=True)


def _line(post: Frame) -> str:
    """The message for people: the local time, the user, the text; nothing in it reaches the terminal as a command."""
    at = datetime.fromisoformat(str(post.get("PostedAt"))).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    text = "(deleted)" if post.get("Deleted") else str(post.get("Message", ""))
    lines = [printable(line) for line in text.split("\n")]
    return f"{at}  {printable(str(post.get('User')))}: " + "\n    ".join(lines)


def printable(text: str) -> str:
    """The text with whatever a terminal would obey written as an escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
