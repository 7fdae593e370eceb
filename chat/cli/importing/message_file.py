"""A file of messages, NDJSON as `GET /rooms/{room}/export` writes it: checked as a whole, then read in parts.

The messages of an import have the numbers 1, 2, 3 … in the file's order.  The file's own Ids may have gaps; they have
to ascend, and eight bytes of memory are kept for each, to find the message that a reply answers.
"""

import json
import os
import shutil
import sys
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from typing import IO

from chat.cli.node_client import CommandFailed
from chat.errors import Problem
from chat.services import validation
from chat.services.imports import check_line

LINE_BYTES_MAX = 120 * 1024  # so that any line fits into a request
SOURCE_DIGITS = 32  # 128 bits
STDIN = "-"


class MessageFile:
    """An open file whose lines were checked."""

    def __init__(self, file: IO[bytes], name: str, now: int, progress: Callable[[int], None]) -> None:
        """Read and check the whole file.  `now`: microseconds since 1970.

        Calls `progress` with the number of messages read so far.  Raises CommandFailed that names the wrong line.
        """
        self._file = file
        self._name = name
        self._ids = array("Q")
        self.unanswered = 0  # replies to messages that are not in the file
        digest = sha256()
        for place, line in self._lines():
            digest.update(line)
            self._check(place, line, now)
            progress(len(self._ids))
        if not self._ids:
            raise CommandFailed(f"{name} has no message.")
        self.source = digest.hexdigest()[:SOURCE_DIGITS]  # the same file is the same import, wherever it lies

    def __len__(self) -> int:
        """The number of messages."""
        return len(self._ids)

    def messages(self, after: int) -> Iterator[tuple[int, str]]:
        """The messages with higher numbers than `after`, as lines of a request, each with its number.

        Raises CommandFailed if the file is not the one that was checked; lines that were added are left out.
        """
        number = 0
        for number, (_, line) in enumerate(islice(self._lines(), len(self)), 1):
            if number > after:
                yield number, self._numbered(number, line)
        if number < len(self):
            raise self._changed()

    def _check(self, place: str, line: bytes, now: int) -> None:
        try:
            checked = check_line("file", place, line, now)
        except Problem as problem:
            raise CommandFailed(f"{self._name}, {problem.detail}. Nothing was imported.") from None
        if self._ids and checked.number <= self._ids[-1]:
            raise CommandFailed(f"{self._name}, {place}: Id: must ascend from line to line. Nothing was imported.")
        self.unanswered += bool(checked.reply_to and not self._number_of(checked.reply_to))
        self._ids.append(checked.number)

    def _number_of(self, id: int) -> int:
        """The number of the message with this Id; 0 if there is none."""
        at = bisect_left(self._ids, id)
        return at + 1 if at < len(self._ids) and self._ids[at] == id else 0

    def _numbered(self, number: int, line: bytes) -> str:
        """The line with the numbers of the import in place of the file's Ids."""
        try:
            members = validation.members(validation.json_object(line))
        except Problem:
            raise self._changed() from None
        if members.get("id") != self._ids[number - 1]:
            raise self._changed()
        members["id"] = number
        members.pop("imported", None)
        reply_to = members.pop("replyto", None)
        if isinstance(reply_to, int) and (answered := self._number_of(reply_to)):
            members["replyto"] = answered
        return json.dumps(members, ensure_ascii=False, separators=(",", ":")) + "\n"

    def _changed(self) -> CommandFailed:
        return CommandFailed(f"{self._name} has changed since it was checked.")

    def _lines(self) -> Iterator[tuple[str, bytes]]:
        """The lines that are not empty, each with its place in the file."""
        self._file.seek(0)
        at = 0
        while line := self._file.readline(LINE_BYTES_MAX + 1):
            at += 1
            if len(line) > LINE_BYTES_MAX:
                raise CommandFailed(f"{self._name}, line {at}: is longer than {LINE_BYTES_MAX:,} bytes.")
            if line.strip():
                yield f"line {at}", line


def open_file(path: str) -> tuple[IO[bytes], str]:
    """Open the file, or a copy of stdin for `-`, which is read twice too; and its name for messages.

    Raises CommandFailed.
    """
    try:
        if path == STDIN:
            copy = tempfile.TemporaryFile()  # noqa: SIM115  closed by the caller
            shutil.copyfileobj(sys.stdin.buffer, copy)
            return copy, "stdin"
        file = open(path, "rb")  # noqa: SIM115  closed by the caller
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from None
    if not file.seekable():
        with file:
            copy = tempfile.TemporaryFile()  # noqa: SIM115  closed by the caller
            shutil.copyfileobj(file, copy)
        return copy, path
    return file, os.fspath(path)
