"""raft-chat import ROOM F: put the messages of an export into a room.  `restore --into-room ROOM F` is the same.

Rules
- The whole file is checked before its first message is sent.
- The import is named by a hash of the file, and the cluster knows how many of its messages the room has.  So the
  command may be run again, on any machine, after it broke off: it goes on, and nothing is imported twice.
- One request at a time is under way, so whoever posts meanwhile is not held up.
- The exit code is 0 if all messages are in the room, 1 if something was refused, 3 if no node took them in time.
"""

import argparse
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from queue import Queue
from urllib.parse import quote

from chat.cli.importing.message_file import MessageFile, open_file
from chat.cli.node_client import (
    NOT_KNOWN,
    CommandFailed,
    NodeClient,
    NotAnswered,
    OutcomeNotKnown,
    RefusedByNode,
    add_node,
    open_client,
    sub_parser,
)
from chat.services.imports import LINES_MAX

INTO_ROOM = "--into-room"
BODY_BYTES = 120 * 1024  # of a request; a node takes 128 KiB
BODIES_AHEAD = 2  # made while one is sent
PATIENCE_S = 60.0  # without an answer, and the command gives up
RETRY_S = 0.5  # after a node could not do it now
PROGRESS_S = 0.5  # between two notes of the progress on a terminal
PROGRESS_LINE_S = 10.0  # between two lines of it elsewhere

_TRY_AGAIN = ("too_many_changes", "too_many_attempts")


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command `import`; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("import", "Put the messages of an export into a room.")
    parser.add_argument("room", metavar="ROOM", help="the room, which is made if it does not exist")
    return _run(parser, arguments, environment)


def restore_into_room(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command `restore` with `--into-room`; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("restore", "Put the messages of an export into a room.")
    text = "the room, which is made if it does not exist"
    parser.add_argument(INTO_ROOM, dest="room", metavar="ROOM", required=True, help=text)
    return _run(parser, arguments, environment)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    text = "the export, one message a line, as GET /rooms/ROOM/export writes it; - reads stdin"
    parser.add_argument("file", metavar="F", help=text)
    add_node(parser, environment)
    given = parser.parse_args(arguments)
    client = open_client(given)
    file, name = open_file(given.file)
    with file:
        importing = _Importing(
            client, given.room, MessageFile(file, name, time.time_ns() // 1000, _Progress("checked"))
        )
        try:
            importing.run()
        except (NotAnswered, OutcomeNotKnown) as error:
            print(f"raft-chat: {error} {importing.state()}", file=sys.stderr)
            return NOT_KNOWN
    return 0


class _Importing:
    """A run of the command."""

    def __init__(self, client: NodeClient, room: str, messages: MessageFile) -> None:
        self._client = client
        self._room = room
        self._path = f"/rooms/{quote(room, safe='')}"
        self._messages = messages
        self._imported = 0

    def run(self) -> None:
        """Import what is not imported yet, and print how many messages that were.

        Raises CommandFailed if a node refuses, NotAnswered or OutcomeNotKnown if none answers.
        """
        before = self._imported = self._ask_progress()
        show = _Progress("imported", len(self._messages), before)
        for body, last in self._bodies(before):
            self._send(body, last)
            show(self._imported)
        show.end()
        self._print_result(before)

    def state(self) -> str:
        """A sentence on how much was imported."""
        return (
            f"{self._imported:,} of {len(self._messages):,} messages were imported. "
            "Run the same command again to go on."
        )

    def _print_result(self, before: int) -> None:
        print(f"Imported {len(self._messages) - before:,} messages into {self._room}.")
        if before:
            print(f"{before:,} messages of this file were there before.")
        if self._messages.unanswered:
            print(f"{self._messages.unanswered:,} replies do not say what they answer: that is not in the file.")

    def _ask_progress(self) -> int:
        """Return how many messages of this file the room has.  Make the room if there is none."""
        path = f"{self._path}/import?source={self._messages.source}"
        try:
            answer = self._retried("GET", path, None)
        except RefusedByNode as refused:
            if refused.code != "not_found":
                raise
            self._retried("PUT", self._path, "{}")
            answer = self._retried("GET", path, None)
        return _messages_of(answer)

    def _bodies(self, after: int) -> Iterator[tuple[str, int]]:
        """Bodies of requests, each with the number of its last message; a thread makes the next while one is sent."""
        made: Queue[tuple[str, int] | CommandFailed | None] = Queue(BODIES_AHEAD)
        threading.Thread(target=self._make_bodies, args=(after, made), name="bodies", daemon=True).start()
        while (body := made.get()) is not None:
            if isinstance(body, CommandFailed):
                raise CommandFailed(f"{body} {self.state()}")
            yield body

    def _make_bodies(self, after: int, made: "Queue[tuple[str, int] | CommandFailed | None]") -> None:
        try:
            for body in self._cut(after):
                made.put(body)
            made.put(None)
        except CommandFailed as failed:
            made.put(failed)
        except (OSError, ValueError) as error:  # the latter: the command has failed, and the file is closed
            made.put(CommandFailed(f"The file cannot be read: {error}."))

    def _cut(self, after: int) -> Iterator[tuple[str, int]]:
        lines: list[str] = []
        size = number = 0
        for number, line in self._messages.messages(after):
            length = len(line.encode())
            if lines and (size + length > BODY_BYTES or len(lines) == LINES_MAX):
                yield "".join(lines), number - 1
                lines, size = [], 0
            lines.append(line)
            size += length
        if lines:
            yield "".join(lines), number

    def _send(self, body: str, last: int) -> None:
        """Import the messages of a body, of which the last has the number `last`."""
        answer = self._retried("POST", f"{self._path}/import?source={self._messages.source}", body)
        if _messages_of(answer) < last:
            raise CommandFailed(f"The node has not imported all messages that it was sent. {self.state()}")
        self._imported = last

    def _retried(self, method: str, path: str, body: str | None) -> object:
        """The answer of a node.  The numbers of the messages allow to send the same again."""
        gives_up_at = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._client.request(method, path, body, repeatable=True).value
            except RefusedByNode as refused:
                if refused.code not in _TRY_AGAIN or time.monotonic() > gives_up_at:
                    raise
            except (NotAnswered, OutcomeNotKnown):
                if time.monotonic() > gives_up_at:
                    raise
            threading.Event().wait(RETRY_S)


def _messages_of(answer: object) -> int:
    match answer:
        case {"Messages": int(messages)}:
            return messages
    raise CommandFailed("What answers there is no node that imports: it may run an older version.")


class _Progress:
    """Show on stderr how far it has come."""

    def __init__(self, what: str, total: int = 0, before: int = 0) -> None:
        self._what = what
        self._total = total
        self._before = before
        self._began_s = time.monotonic()
        self._is_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._interval_s = PROGRESS_S if self._is_terminal else PROGRESS_LINE_S
        self._next_s = self._began_s + self._interval_s
        self._shown = False

    def __call__(self, messages: int) -> None:
        """Show it, unless that was done a moment ago."""
        now_s = time.monotonic()
        if now_s < self._next_s or sys.stderr is None:
            return
        self._next_s = now_s + self._interval_s
        rate = (messages - self._before) / (now_s - self._began_s)
        of = f" of {self._total:,} ({100 * messages // self._total} %)" if self._total else ""
        text = f"{messages:,}{of} messages {self._what}, {rate:,.0f} a second"
        self._shown = True
        print(f"\r\x1b[K{text}" if self._is_terminal else text, end="" if self._is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self) -> None:
        """End the line on a terminal."""
        if self._shown and self._is_terminal:
            print(file=sys.stderr)
