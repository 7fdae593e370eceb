"""The transfer of a backup from a node to a file or to stdout.

Rules.
- Every byte is checked as it comes, and the whole at the end.  A file has its name only when it is whole and durable.
- What has come is kept in FILE.part, and FILE.part.json says which backup of which node it is.  A transfer that broke,
  or a later run of the command, goes on from there.  If the node has another backup by now, it begins anew and says so.
- Files have mode 0600: a backup holds everything.
- One run at a time writes a FILE.part: it is locked.
"""

import fcntl
import gzip
import json
import os
import shutil
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from typing import BinaryIO, Protocol

from chat.cli.backups.progress_bar import ProgressBar
from chat.cli.backups.tools import BackupTools, Check
from chat.cli.node_client import CommandFailed, NodeClient, NotAnswered
from raft.backup.report import BackupHeader, BackupInvalid

PATH = "/backup?wait=20"  # less than the minute after which proxies give up
CHUNK_BYTES = 1 << 20
TRIES = 5  # in a row without a byte
RETRY_S = 1.0
GZIP_LEVEL = 6
SYNC_BYTES = 4 << 20  # written between two syncs: one large sync would hold up a node whose log is on the same disk


class Target(Protocol):
    """The place that a backup goes to."""

    size: int  # bytes so far

    def begin(self, url: str, tag: str) -> None:
        """Begin with the first byte of a backup.  Raises CommandFailed if bytes of another one are gone already."""

    def write(self, data: bytes) -> None:
        """Take the next bytes.  Raises OSError."""


class StdoutTarget:
    """Stdout, compressed or not.  Nothing that was written can be taken back."""

    def __init__(self, *, compressed: bool) -> None:
        self.size = 0
        self._out: BinaryIO | gzip.GzipFile = sys.stdout.buffer
        if compressed:
            self._out = gzip.GzipFile(fileobj=sys.stdout.buffer, mode="wb", compresslevel=GZIP_LEVEL)

    def begin(self, url: str, tag: str) -> None:
        if self.size:
            raise CommandFailed(f"The transfer broke off after {self.size} bytes, and the node cannot go on with it.")

    def write(self, data: bytes) -> None:
        self._out.write(data)
        self.size += len(data)

    def finish(self) -> None:
        """End the output."""
        if isinstance(self._out, gzip.GzipFile):
            self._out.close()
        sys.stdout.buffer.flush()


class PartFile:
    """FILE.part, and the note beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._note = path.with_name(path.name + ".json")
        self._file = os.fdopen(_locked(path), "r+b")
        self.size = self._synced = os.fstat(self._file.fileno()).st_size
        self.url, self.tag = self._read_note()
        if not self.tag:
            self._empty()

    def _read_note(self) -> tuple[str, str]:
        try:
            match json.loads(self._note.read_bytes()):
                case {"Url": str(url), "Tag": str(tag)}:
                    return url, tag
        except (OSError, ValueError):
            pass
        return "", ""

    def feed_to(self, check: Check) -> None:
        """Check the bytes that are there.  Raises BackupInvalid."""
        self._file.seek(0)
        while data := self._file.read(CHUNK_BYTES):
            check.feed(data)

    def begin(self, url: str, tag: str) -> None:
        self._empty()
        content = json.dumps({"Url": url, "Tag": tag}).encode()
        with os.fdopen(_opened(self._note), "wb") as note:
            note.truncate()
            note.write(content)
        self.url, self.tag = url, tag

    def _empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.size = self._synced = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self.size += len(data)
        if self.size - self._synced >= SYNC_BYTES:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._synced = self.size

    def drop(self) -> None:
        """Remove what came: it is no sound backup."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()

    def close(self) -> None:
        """Keep what came for a later run."""
        if not self.size:
            self.drop()
        with suppress(OSError):
            self._file.close()

    def finish(self, path: Path, *, compressed: bool) -> int:
        """Give the whole backup its name, durably; return its size.  Raises OSError."""
        self._file.flush()
        if compressed:
            temporary = path.with_name(path.name + ".tmp")
            with os.fdopen(_opened(temporary), "wb") as raw:
                raw.truncate()
                with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=GZIP_LEVEL, filename="") as out:
                    self._file.seek(0)
                    shutil.copyfileobj(self._file, out, CHUNK_BYTES)
                raw.flush()
                os.fsync(raw.fileno())
            temporary.rename(path)
            self.path.unlink()
        else:
            os.fsync(self._file.fileno())
            self.path.rename(path)
        self._file.close()  # and another run may begin
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._note.unlink(missing_ok=True)
        return path.stat().st_size


def _opened(path: Path) -> int:
    """Open a file of this user's own for writing, as it is.  Raises CommandFailed, OSError.

    In a directory like /tmp another user could put a link or a file of theirs there, and read the backup.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_nlink > 1:
        os.close(descriptor)
        raise CommandFailed(f"{path} is no file of this user's own. Remove it, or write to another directory.")
    os.fchmod(descriptor, 0o600)
    return descriptor


def _locked(path: Path) -> int:
    """Open a file that no other run of the command writes, and keep others from it.  Raises CommandFailed, OSError."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_there = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
    except BlockingIOError:
        is_there = False
    except OSError:  # a file system without locks
        is_there = True
    if not is_there:  # or another run has just given the file its name
        os.close(descriptor)
        raise CommandFailed(f"Another backup is being written to {path}.")
    return descriptor


class Transfer:
    """The transfer of a backup from the first node that gives it; a broken one goes on where it ended."""

    def __init__(
        self, client: NodeClient, tools: BackupTools, target: Target, bar: ProgressBar, *, stale: bool = False
    ) -> None:
        self._client = client
        self._tools = tools
        self._target = target
        self._bar = bar
        self._path = PATH + ("&consistency=stale" if stale else "")
        self._check = tools.new_check()
        self._url = self._tag = ""
        self._index = 0  # of a backup that a node makes
        self._total = 0

    def resume(self, part: PartFile) -> None:
        """Go on with what is there."""
        if not part.size or part.url not in self._client.urls:  # no other node is told the token
            return
        try:
            part.feed_to(self._check)
        except BackupInvalid:
            self._check = self._tools.new_check()
            part.begin("", "")
            return
        self._url, self._tag = part.url, part.tag
        self._bar.say(f"going on after {part.size} bytes that came before")

    def run(self, known_state: str = "") -> BackupHeader | None:
        """Get the whole backup; None: nothing has changed since `known_state`.  Raises CommandFailed, OSError."""
        failures = 0
        while True:
            before = self._target.size
            try:
                if self._step(known_state):
                    break
                if self._target.size == before and not self._index:
                    return None
                failures = 0
            except NotAnswered as error:
                if not self._url:
                    raise CommandFailed(str(error)) from None  # no node has begun, and all were asked
                failures = 1 if self._target.size > before else failures + 1
                if failures < TRIES:
                    Event().wait(RETRY_S)
                elif len(self._client.urls) > 1:
                    self._bar.say(f"the node at {self._url} does not answer any more: asking the others")
                    self._url, self._tag, self._index, failures = "", "", 0, 0
                else:
                    raise CommandFailed(str(error)) from None
        self._bar.end()
        try:
            return self._check.finish()
        except BackupInvalid as invalid:
            raise NotSound(f"What came from {self._url} is no sound backup: {invalid}.") from None

    def _broken(self) -> str:
        return f"The transfer from {self._url} broke off after {self._target.size} bytes. Run the same command again."

    def _step(self, known_state: str) -> bool:
        """Ask a node, and take what comes; return whether all has come."""
        unanswered: CommandFailed | None = None
        for url in [self._url] if self._url else self._client.urls:
            try:
                return self._take_from(url, known_state)
            except NotAnswered as error:
                if _is_making(error):
                    self._url, self._index = url, _index_in(error)
                    self._bar.making()
                    return False
                unanswered = error
                if self._url:  # it had begun: another node has another backup
                    break
        assert unanswered is not None
        raise unanswered

    def _take_from(self, url: str, known_state: str) -> bool:
        size, headers = self._target.size, {}
        if self._tag:
            headers = {"Range": f"bytes={size}-", "If-Range": f'"{self._tag}"'}
        elif known_state:
            headers = {"If-None-Match": known_state}
        path = self._path + (f"&index={self._index}" if self._index else "")
        with self._client.streamed(url, path, headers) as response:
            if response.status == HTTPStatus.NOT_MODIFIED:
                self._index = 0
                return False
            if response.status == HTTPStatus.OK:
                self._begin(url, response)
            elif response.status != HTTPStatus.PARTIAL_CONTENT or not self._goes_on(response):
                raise self._client.refused(url, response)
            self._total = self._target.size + int(response.getheader("Content-Length") or 0)
            self._read(response)
        return self._target.size == self._total

    def _begin(self, url: str, response: HTTPResponse) -> None:
        if self._target.size:
            self._bar.say(f"the node at {url} has another backup: beginning anew")
        tag = (response.getheader("ETag") or "").strip('"')
        self._target.begin(url, tag)
        self._check = self._tools.new_check()
        self._url, self._tag = url, tag

    def _goes_on(self, response: HTTPResponse) -> bool:
        return (response.getheader("Content-Range") or "").startswith(f"bytes {self._target.size}-")

    def _read(self, response: HTTPResponse) -> None:
        while data := self._next(response):
            self._target.write(data)
            try:
                self._check.feed(data)
            except BackupInvalid as invalid:
                raise NotSound(f"What comes from {self._url} is no sound backup: {invalid}.") from None
            self._bar.moved(self._target.size, self._total)
        if self._target.size < self._total:
            raise NotAnswered(self._broken())

    def _next(self, response: HTTPResponse) -> bytes:
        try:
            return response.read(CHUNK_BYTES)
        except (OSError, HTTPException):
            raise NotAnswered(self._broken()) from None


class NotSound(CommandFailed):
    """A backup that came is damaged: what came of it is of no use."""


def _is_making(error: NotAnswered) -> bool:
    return isinstance(error.value, Mapping) and error.value.get("code") == "backup_in_progress"


def _index_in(error: NotAnswered) -> int:
    index = error.value.get("Index") if isinstance(error.value, Mapping) else 0
    return index if isinstance(index, int) else 0
