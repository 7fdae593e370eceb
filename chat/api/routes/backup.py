"""`/backup`: the whole state of the cluster as one file, for `raft-chat restore`.

It holds every message, also those of private rooms, and the hashes of all passwords and tokens.  So only the operator
and admins get it; before the first account, in the open mode, only a program on this machine.

A transfer that broke goes on by `Range` with `If-Range`, at the same node, for an hour.
"""

import logging
import re
from collections.abc import Iterator
from http import HTTPStatus

from chat.api.request import Request, no_recent_leader
from chat.api.response import Response, is_stale
from chat.api.router import Access, Answer, Route
from chat.api.schemas import integer, word
from chat.auth.authenticator import refused
from chat.auth.this_machine import is_local
from chat.commands import OPERATOR, Actor
from chat.errors import problem, problem_of, problem_of_refusal
from chat.replica import STALE_S_MAX, BackupFile
from chat.server.limits import KIB
from chat.services.cursors import history
from chat.state import permissions
from chat.state.results import Refusal
from raft.errors import RaftError

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/vnd.raft-chat.backup"
PIECE_BYTES = 256 * KIB  # read and sent at a time
WAIT_S_MAX = 3_600.0  # for the making; a terabyte takes longer, and asks again
_RANGE = re.compile(r"bytes=([0-9]{1,18})-")
_ONLY_HERE = Refusal(
    "forbidden",
    "Without accounts, only a program on a node's own machine may read the whole chat. Run this there, without a proxy "
    "between, or add an admin: raft-chat user add NAME --admin",
)
_FOREIGN = ("cross-site", "same-site")


def download(request: Request) -> Response:
    """GET /backup[?wait=S][&index=N]: the backup.  Raises Problem."""
    query = request.query()
    wait_s = query.integer("wait", 0, int(WAIT_S_MAX))
    asked_index = query.integer("index", 1)
    actor = _allowed(request, is_stale=is_stale(query))
    headers = [("Accept-Ranges", "bytes"), ("Cache-Control", "no-store")]
    if request.method == "HEAD":
        return Response(HTTPStatus.OK, b"", CONTENT_TYPE, headers)
    index = asked_index or request.replica.last_applied
    if request.environ.get("HTTP_IF_NONE_MATCH") == _state_tag(request, index):
        return Response(HTTPStatus.NOT_MODIFIED, b"", CONTENT_TYPE, headers)
    file, first = _found(request, index, WAIT_S_MAX if wait_s is None else wait_s)
    name = f"raft-chat-{request.replica.cluster_id}-{file.index}.backup"
    headers += [
        ("ETag", f'"{file.tag}"'), ("Content-Length", str(file.size - first)),
        ("Content-Disposition", f'attachment; filename="{name}"'), ("X-Backup-State", _state_tag(request, file.index)),
    ]  # fmt: skip
    status = HTTPStatus.OK
    if first:
        status = HTTPStatus.PARTIAL_CONTENT
        headers.append(("Content-Range", f"bytes {first}-{file.size - 1}/{file.size}"))
    pieces = _Pieces(file, first, _who(request, actor))
    return Response(status, b"", CONTENT_TYPE, headers, pieces=pieces)


def _allowed(request: Request, *, is_stale: bool) -> Actor:
    """Return who asks.  Raises Problem: 401, 403, 503."""
    if not is_stale or request.replica.is_set_aside:  # a state that differs is never copied: this raises
        request.catch_up()
    authenticator = request.services.authenticator
    actor = authenticator.authenticate_admin(request.environ)
    if actor is None:
        raise refused()
    found = request.state.ask(lambda tables: permissions.administering(tables, actor))
    if isinstance(found, Refusal):
        raise problem_of_refusal(found)
    if not actor.by and (authenticator.hides_from_strangers() or not _is_here(request)):
        raise problem_of_refusal(_ONLY_HERE)
    if is_stale and actor.by != OPERATOR and request.state.guarded and request.replica.contact_age_s() > STALE_S_MAX:
        raise no_recent_leader()  # the token may have been revoked; the operator's is this node's own
    return actor


def _is_here(request: Request) -> bool:
    """Return whether a program on this machine asks, and neither a proxy nor a page of another site."""
    is_of_page = "HTTP_ORIGIN" in request.environ or request.environ.get("HTTP_SEC_FETCH_SITE") in _FOREIGN
    return is_local(request.environ) and not is_of_page


def _state_tag(request: Request, index: int) -> str:
    """Return the tag of the state at an index: equal tags mean that nothing has changed."""
    return f'W/"{history(request.replica)}-{index}"'


def _found(request: Request, index: int, wait_s: float) -> tuple[BackupFile, int]:
    """Return the backup, and the first byte to send.  Raises Problem."""
    part = _RANGE.fullmatch(request.environ.get("HTTP_RANGE", ""))
    tag = request.environ.get("HTTP_IF_RANGE", "").strip('"')
    file = request.replica.find_backup(tag) if part is not None and tag else None
    if part is not None and file is not None:
        if int(part[1]) < file.size:
            return file, int(part[1])
        file.close()
    try:
        with request.off_cpu():
            file = request.replica.backup(index, wait_s)
    except RaftError as error:
        raise problem_of(error) from None
    if file is None:
        detail = f"this node makes the backup; ask again with index={index}"
        raise problem("backup_in_progress", detail, retry_after_s=1, members={"Index": index})
    return file, 0


def _who(request: Request, actor: Actor) -> str:
    if actor.by == OPERATOR:
        return "the operator"
    return f"user {actor.user!r}" if actor.by else "a program on this machine"


class _Pieces(Iterator[bytes]):
    """The bytes of a backup from an offset on.  The end of the transfer is logged."""

    def __init__(self, file: BackupFile, first: int, who: str) -> None:
        self._file = file
        self._at = first
        self._who = who

    def __next__(self) -> bytes:
        piece = self._file.read(self._at, PIECE_BYTES)
        if not piece:
            raise StopIteration
        self._at += len(piece)
        return piece

    def close(self) -> None:
        """Close the file: the response has ended, or broke."""
        self._file.close()
        if self._at >= self._file.size:
            logger.info("%s took a backup of index %d, %d bytes", self._who, self._file.index, self._file.size)
        else:
            logger.warning(
                "%s took a part of a backup of index %d: it broke off before byte %d of %d",
                self._who, self._file.index, self._at, self._file.size,
            )  # fmt: skip


ROUTES = (
    Route(
        "GET", "/backup", download, Access.ADMIN, "Back up the whole chat as one file, for raft-chat restore",
        answers={
            200: Answer("The backup, from its first byte on", content_type=CONTENT_TYPE),
            206: Answer("The rest of the backup that If-Range names", content_type=CONTENT_TYPE),
            304: Answer("Nothing has changed since the state that If-None-Match names"),
        },
        problems=("backup_in_progress", "backup_failed", "backup_no_room", "damaged_record"),
        query={
            "wait": integer(0, int(WAIT_S_MAX)), "index": integer(1), "consistency": word("stale", "linearizable"),
        },
        headers={"Range": {"type": "string"}, "If-Range": {"type": "string"}, "If-None-Match": {"type": "string"}},
    ),
)  # fmt: skip
