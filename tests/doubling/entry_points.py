"""Which functions of chat/ and raft/ read what comes from outside, found in the code by their names and their places.

A row reaches one where a run of the row calls it.  So a new parser has to be reached by a row, or is named in
ELSEWHERE with the reason.
"""

import ast
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
# Functions that are called so, wherever they are; and all public ones of files that do nothing but read.
NAMED = re.compile(
    r"_*(parse|parsed|decode|load|unseal|unpack|feed|scan|from|read_(node_presence|refusal|options|body|facts|filled|buckets))"
    r"(_\w+)?|_restore_\w+|check_(?!end)\w+|json_object|"
    r"percent_decoded|origin_of|row_reader|entry_of_verified|entry_at"
)
WHOLE_FILES = (
    "chat/services/validation.py",
    "chat/confusable_names.py",
    "chat/auth/forwarded.py",
    "chat/auth/guest_pages.py",
    "chat/auth/hosts.py",
    "chat/auth/proxies.py",
    "chat/auth/proxy_users.py",
    "chat/auth/cookies.py",
    "chat/auth/origins.py",
    "chat/realtime/frames.py",
    "chat/server/http.py",
    "chat/services/posts.py",
    "chat/services/rooms.py",
    "chat/services/users.py",
    "chat/services/invites.py",
    "chat/services/sessions.py",
    "chat/services/settings.py",
    "raft/core/urls.py",
)

# Not reached by a row, and why not.
ELSEWHERE = {
    "raft/storage/recovery.py:_Recovery._scan_damaged": "goes over the bytes of one segment, whose size has a bound",
    "chat/commands/json_codec.py:row_reader": "makes a reader of rows, when its module is imported",
    "chat/auth/proxies.py:behind": "makes the application that calls client_address",
    "chat/auth/proxy_users.py:AuthHeaders.take": "moves two texts",
    "chat/auth/proxy_users.py:is_of_proxy_user": "looks whether a text is there",
    "chat/auth/proxy_users.py:session_of": "looks into tables",
    "chat/auth/proxy_users.py:shared_session": "goes over the tokens of one user, which have a bound",
    "chat/auth/guest_pages.py:is_of_guest_page": "looks whether a text is there",
    "chat/auth/guest_pages.py:headers_for_page": "puts a checked text into headers",
    "chat/auth/guest_pages.py:preflight_headers": "looks whether two texts are there",
    "raft/rpc/peer_auth.py:check_level": "compares two numbers",
    "raft/rpc/handshake.py:_decode": "reads at most HANDSHAKE_BYTES_MAX, a kilobyte",
    "raft/rpc/peer_certificates.py:PeerCertificates.check_caller": "goes over the names that this cluster's CA signed",
    "raft/rpc/peer_certificates.py:PeerCertificates._load": "reads files of this node",
    "raft/storage/identity.py:load_or_create": "reads a file of this node for decode",
    "raft/engine/replication.py:Peers._load": "cuts entries of this node's own log",
    "chat/cli/backups/tools.py:Check.feed": "hands a piece of a backup to BackupCheck.feed",
    "chat/cli/backups/transfer.py:PartFile.feed_to": "hands the pieces of a file to a check",
    "raft/backup/restore.py:check_level": "compares two numbers",
    "raft/storage/file_check.py:check_files": "goes over the files of a directory that its owner names",
    "raft/storage/identity.py:load": "reads a file of this node for decode",
    "raft/storage/positions.py:unpack": "takes one number apart",
    "chat/realtime/connection.py:Connection.feed": "is each kind's own",
    "chat/realtime/sse.py:EventStreamConnection.feed": "throws away what a client of a stream sends",
    "chat/server/tls/tls_connection.py:TlsConnection._read_body": "moves the rest of what was decrypted",
    "chat/realtime/frames.py:end_of_frame": "reads the head of a frame that this node made",
}

Place = tuple[str, str]  # a file, and a function's qualified name


@cache
def found() -> tuple[Place, ...]:
    """Every entry point, by its file below the root and its name."""
    return tuple(_found())


def _found() -> Iterator[Place]:
    for folder in ("chat", "raft"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            file = str(path.relative_to(ROOT))
            for name in _functions(ast.parse(path.read_text()), ""):
                last = name.rpartition(".")[2]
                is_public = file in WHOLE_FILES and not last.startswith("_")
                if is_public or NAMED.fullmatch(last):
                    yield file, name


def _functions(node: ast.AST, within: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{within}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield f"{within}{child.name}"


@contextmanager
def called(into: set[Place]) -> Iterator[Callable[[FrameType, str, Any], None]]:
    """Note every function of the product that is called meanwhile, also in threads that begin then; give the hook."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            seen.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(note)
    threading.setprofile(note)
    try:
        yield note
    finally:
        sys.setprofile(before)
        threading.setprofile(None)
        into.update(_places(seen.copy()))


def _places(codes: Iterable[CodeType]) -> Iterator[Place]:
    for code in codes:
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT):
            yield str(path.relative_to(ROOT)), code.co_qualname.replace(".<locals>", "")


def unreached(runs: Iterable[Callable[[], object]]) -> list[Place]:
    """The entry points that none of these runs calls, but those of ELSEWHERE.

    Each run has the hook anew: the interpreter drops a hook for good when it raises, as in a call that recurses as far
    as it may.
    """
    reached: set[Place] = set()
    with called(reached) as hook:
        for run in runs:
            sys.setprofile(hook)
            run()
    return [place for place in found() if place not in reached and ":".join(place) not in ELSEWHERE]
