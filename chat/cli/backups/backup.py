"""raft-chat backup: get a backup from a node, once or again and again.

With --every it is a service: it keeps the newest --keep backups in a directory, each named by its time and its index.
An older one is removed only after a newer one is whole.  Nothing is transferred while nothing has changed.  Of one
cluster's backups, the one of the higher index is the newer: the times in their names are a clock's, which may be set.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple

from chat.cli.backups.progress_bar import ProgressBar
from chat.cli.backups.tools import BackupTools
from chat.cli.backups.transfer import NotSound, PartFile, StdoutTarget, Transfer
from chat.cli.node_client import CommandFailed, NodeClient, add_node, open_client, sub_parser
from raft.backup.report import BackupHeader, BackupInvalid

STDOUT = "-"
NICENESS = 19  # a backup can wait; a node on this machine cannot
KEEP_DEFAULT = 14
KEEP_MAX = 10_000
EVERY_S_MIN, EVERY_S_MAX = 1, 366 * 86_400
RETRY_S = 300.0  # after a backup that failed, or sooner with a shorter --every
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
PART = "raft-chat.part"  # of a directory: the name of a backup is known at its end
_NAME = re.compile(r"raft-chat-[0-9]{8}T[0-9]{6}Z-[0-9]{15}\.backup(\.gz)?")


class _Made(NamedTuple):
    path: Path
    header: BackupHeader
    size: int  # in bytes


def main(arguments: Sequence[str], environment: Mapping[str, str], tools: BackupTools) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    parser = sub_parser("backup", "Back up the whole chat as one file, while it runs.  Any node can be asked.")
    text = "the file to write, - for stdout, or a directory for dated files"
    parser.add_argument("--output", required=True, metavar="FILE", help=text)
    parser.add_argument("--gzip", action="store_true", help="compress it")
    text = "go on for ever: make a backup each TIME, like 30m, 6h or 1d, if something has changed"
    parser.add_argument("--every", metavar="TIME", help=text)
    text = f"in a directory: keep the newest N backups (default: {KEEP_DEFAULT} with --every, else all)"
    parser.add_argument("--keep", type=int, metavar="N", help=text)
    text = "back up what the node has, without asking a majority: it may be old"
    parser.add_argument("--stale", action="store_true", help=text)
    add_node(parser, environment)
    given = parser.parse_args(arguments)
    every_s = _seconds(parser, given.every)
    if given.keep is not None and not 1 <= given.keep <= KEEP_MAX:
        parser.error(f"--keep {given.keep} is not a number from 1 to {KEEP_MAX}")
    if every_s and given.output == STDOUT:
        parser.error("--every needs a directory as --output")
    path = _path_of(parser, given.output)
    if every_s and path.is_file():
        parser.error(f"--every needs a directory as --output, and {given.output} is a file")
    client = open_client(given)
    os.nice(NICENESS)
    try:
        if given.output == STDOUT:
            _to_stdout(client, tools, given)
        elif every_s or path.is_dir():
            _Directory(client, tools, given, path, every_s).run()
        else:
            _to_file(client, tools, given, path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandFailed(f"The backup cannot be written: {error}.") from None
    return 0


def _seconds(parser: argparse.ArgumentParser, text: str | None) -> float:
    if text is None:
        return 0.0
    found = re.fullmatch(r"([0-9]{1,8})([smhd])", text)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not EVERY_S_MIN <= seconds <= EVERY_S_MAX:
        parser.error(f"--every {text!r} is not a time like 30m, 6h or 1d")
    return float(seconds)


def _path_of(parser: argparse.ArgumentParser, output: str) -> Path:
    """Return the file or directory to write; a link leads to it, and stays."""
    if not output or "\0" in output:
        parser.error(f"--output {output!r} is not a path")
    path = Path(output)
    if path.exists() and not path.is_file() and not path.is_dir():  # it would be replaced, /dev/null too
        parser.error(f"--output {output} is neither a file nor a directory. Use --output - and redirect stdout")
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _to_stdout(client: NodeClient, tools: BackupTools, given: argparse.Namespace) -> None:
    target = StdoutTarget(compressed=given.gzip)
    Transfer(client, tools, target, ProgressBar(), stale=given.stale).run()
    target.finish()


def _to_file(client: NodeClient, tools: BackupTools, given: argparse.Namespace, path: Path) -> None:
    made = _fetched(client, tools, given, path.with_name(path.name + ".part"), lambda header: path)
    assert made is not None
    _say(made)


def _fetched(
    client: NodeClient,
    tools: BackupTools,
    given: argparse.Namespace,
    part_path: Path,
    name_of: Callable[[BackupHeader], Path],
    known_state: str = "",
) -> _Made | None:
    """Get a backup into a file; None: nothing has changed since `known_state`.  Raises CommandFailed, OSError."""
    bar, part = ProgressBar(), PartFile(part_path)
    try:
        transfer = Transfer(client, tools, part, bar, stale=given.stale)
        transfer.resume(part)
        header = transfer.run(known_state)
        if header is None:
            return None
        path = name_of(header)
        return _Made(path, header, part.finish(path, compressed=given.gzip))
    except NotSound:
        part.drop()
        raise
    finally:
        bar.end()
        part.close()


class _Directory:
    """A directory of backups, each with its time and its index in its name."""

    def __init__(
        self, client: NodeClient, tools: BackupTools, given: argparse.Namespace, path: Path, every_s: float
    ) -> None:
        self._client = client
        self._tools = tools
        self._given = given
        self._every_s = every_s
        self._path = path
        self._last: Path | None = None  # that this run has made
        self._keep = given.keep or (KEEP_DEFAULT if every_s else 0)

    def run(self) -> None:
        """Make a backup; with --every again and again."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._every_s:
            self._make()
            return
        wait_s = self._rest_s()
        while True:
            Event().wait(max(0.0, wait_s))
            began_s = time.monotonic()
            try:
                self._make()
                wait_s = self._every_s
            except (CommandFailed, OSError) as error:
                wait_s = min(RETRY_S, self._every_s)
                print(f"raft-chat: {error} Next try in {wait_s:.0f} s.", file=sys.stderr, flush=True)
            wait_s -= time.monotonic() - began_s

    def _rest_s(self) -> float:
        """Return how long the newest backup of an earlier run still is new."""
        newest = self._newest()
        if newest is None:
            return 0.0
        return min(newest.stat().st_mtime + self._every_s - time.time(), self._every_s)  # the clock may be set back

    def _make(self) -> None:
        newest = self._newest()
        known_state = _state_of(newest, self._tools) if newest else ""
        made = _fetched(self._client, self._tools, self._given, self._path / PART, self._name_of, known_state)
        if made is None:
            print(f"nothing has changed since {newest}", flush=True)
            return
        _say(made)
        self._last = made.path
        for old in self._backups(_history_of(made.header))[: -self._keep] if self._keep else ():
            old.unlink(missing_ok=True)

    def _newest(self) -> Path | None:
        """Return the backup that was made last; before this run has made one, that of the highest index."""
        if self._last is not None and self._last.exists():
            return self._last
        return max(self._found(), key=_index_of, default=None)

    def _found(self) -> list[Path]:
        return [path for path in self._path.iterdir() if _NAME.fullmatch(path.name)]

    def _backups(self, history: str) -> list[Path]:
        """The backups, oldest first; those of this history, which is the present one, after all others."""
        found = self._found()
        own = {path for path in found if _history_in(path, self._tools) == history}
        return sorted(found, key=lambda path: (path in own, _index_of(path) if path in own else 0, path.name))

    def _name_of(self, header: BackupHeader) -> Path:
        made = re.sub("[^0-9TZ]", "", header.made_at)
        return self._path / f"raft-chat-{made}-{header.index:015}.backup{'.gz' if self._given.gzip else ''}"


def _state_of(path: Path, tools: BackupTools) -> str:
    """Return the state that a backup holds, as a node names it; "" if the file cannot be read."""
    try:
        header = tools.header_of(path)
    except (BackupInvalid, OSError):
        return ""
    return f'W/"{_history_of(header)}-{header.index}"'


def _history_of(header: BackupHeader) -> str:
    return f"{header.cluster_id}-{header.generation}" if header.generation else header.cluster_id


def _history_in(path: Path, tools: BackupTools) -> str:
    """Return the history that a backup belongs to; "" if the file cannot be read."""
    try:
        return _history_of(tools.header_of(path))
    except (BackupInvalid, OSError):
        return ""


def _index_of(path: Path) -> int:
    """Return the index in the name of a backup."""
    return int(path.name.partition(".")[0].rpartition("-")[2])


def _say(made: _Made) -> None:
    print(f"{made.path}: a backup of index {made.header.index}, {made.size} bytes", flush=True)
