"""What other nodes say: every RPC and answer, heads of answers, entries, proposals, notices, chunks of snapshots."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from functools import partial
from io import BytesIO
from typing import Any, get_args, get_type_hints

from chat.realtime.presence import NAMES_BYTES_MAX, TYPING_MAX, read_node_presence
from raft.cluster import member_reports
from raft.core.boots import BOOTS_MAX
from raft.core.configuration import MEMBERS_MAX, Configuration, Member, decode_configuration
from raft.core.entries import (
    RECORD_BYTES_MAX,
    command_entry,
    command_of_verified,
    configuration_entry,
    decode_entries,
    decode_entry,
    entry_at,
    noop_entry,
    unseal,
)
from raft.core.log import SLICE_ENTRIES_MAX
from raft.core.node import Settings
from raft.core.raft_messages import AppendEntries, Entry, ProposalId, SnapshotMeta
from raft.core.urls import URL_POINTS_MAX, is_client_url, is_local_url, is_peer_url
from raft.digest.state_digest import decode_digests
from raft.engine.forwarding import FORWARD_MAX
from raft.rpc import peer_client
from raft.rpc.calls import FetchEntries, Hello, Notice, Propose, Sender, SnapshotChunk
from raft.rpc.codec import (
    FETCH_INDEXES_MAX,
    HEAD_BYTES_MAX,
    NOTICE_BYTES_MAX,
    TEXT_POINTS_MAX,
    Answer,
    Call,
    decode_answer,
    decode_call,
    encode,
)
from raft.rpc.endpoint import _read_body
from raft.rpc.peer_auth import check_sender, read_refusal
from raft.storage.snapshot_receiver import SnapshotReceiver
from tests.doubling.http_rows import of
from tests.doubling.rows import Case, Row
from tests.doubling.texts import marked
from tests.raft.power import PowerDisk
from tests.raft.storage.test_snapshots import DIRECTORY, snapshot_bytes

_SENDER = Sender(2, "i" * 32, "c" * 32, "http://" + "a" * 200 + ":1", 3)
APPEND = Settings().append_bytes_max
PIECE = APPEND  # of a snapshot


def _append(records: Callable[[int], Entry], share: float) -> bytes:
    """An AppendEntries of as many such entries as a leader sends at once."""
    entries: list[Entry] = []
    size = 0
    while size < share * APPEND and len(entries) < share * SLICE_ENTRIES_MAX:
        entries.append(records(len(entries) + 1))
        size += len(entries[-1].record)
    return encode(_SENDER, AppendEntries(2, 1, 2, 0, 0, tuple(entries), 0, 0))


def _command(text: bytes) -> Callable[[int], Entry]:
    return lambda index: command_entry(index, 1, index, ProposalId(1, 1, index, 0), text)


def configuration(members: int = MEMBERS_MAX, removed: int = 1000) -> bytes:
    """The longest that a cluster comes to."""
    url = "http://" + "a" * 240 + ":"
    return Configuration(
        {id: Member(id, f"{url}{id}", True, False, "i" * 32, f"{url}1", 3) for id in range(1, members + 1)},
        frozenset(range(100, 100 + removed)), "c" * 32, 3, "a" * 16,
    ).encode()  # fmt: skip


def _boots(share: float) -> tuple[int, ...]:
    return tuple((1 << 52) + number for number in range(int(share * BOOTS_MAX)))


def _calls() -> Iterator[tuple[str, Callable[[float], bytes]]]:
    tiny = b'{"members":[],"removed":[],"cluster_id":""}'
    for name, entries in (
        ("entries without a command", lambda index: noop_entry(index, 1, index)),
        ("small commands", _command(b"1")),
        ("commands of 200 bytes", _command(b'{"a":"' + b"x" * 190 + b'"}')),
        ("the longest commands", _command(b'{"a":"' + b"x" * (RECORD_BYTES_MAX // 4) + b'"}')),
        ("small configurations", lambda index: configuration_entry(index, 1, index, tiny)),
        ("the longest configurations", lambda index: configuration_entry(index, 1, index, configuration())),
    ):
        yield f"AppendEntries of {name}", lambda share, one=entries: _append(one, share)  # type: ignore[misc]
    yield "AppendEntries whose last entry is damaged", lambda share: _append(_command(b"1"), share)[:-4] + b"xx}\n"
    yield "AppendEntries without an end", lambda share: _append(_command(b"1"), share).replace(b"}\n", b"}")
    yield (
        "FetchEntries of indexes that fall",
        lambda share: encode(_SENDER, FetchEntries(2, 1, (*range(1, int(share * FETCH_INDEXES_MAX)), 1))),
    )
    yield "Notice", lambda share: encode(_SENDER, Notice(2, 1, b"x" * int(share * NOTICE_BYTES_MAX)))
    yield (
        "SnapshotChunk",
        lambda share: encode(_SENDER, SnapshotChunk(2, 1, 9, 1, 1 << 30, 0, b"x" * int(share * PIECE) + b"\n")),
    )
    yield (
        "Hello of a long sender",
        lambda share: encode(
            Sender(2, "i" * int(share * TEXT_POINTS_MAX), "c", "http://" + "a." * int(share * 1000) + "a", 3),
            Hello(2, 1),
        ),
    )
    yield "Hello of many boots", lambda share: encode(replace(_SENDER, boots=_boots(share)), Hello(2, 1))
    yield (
        "a head of a long list",
        lambda share: b'{"rpc":"Hello","format":2,"from":[' + b"1," * int(share * (HEAD_BYTES_MAX - 50) / 2) + b"1]}\n",
    )
    yield (
        "a head of lists in lists",
        lambda share: b'{"rpc":"Hello","format":2,"from":' + b"[" * int(share * (HEAD_BYTES_MAX - 90)) + b"\n",
    )
    yield "a head of another name", lambda share: b'{"rpc":"' + b"x" * int(share * (HEAD_BYTES_MAX - 90)) + b'"}\n'
    yield (
        "a head of digits",
        lambda share: (
            b'{"rpc":"RequestVote","format":2,"from":[1],"term":' + b"9" * int(share * (HEAD_BYTES_MAX - 90)) + b"}\n"
        ),
    )
    yield "no line", lambda share: b"{" * int(share * APPEND)


def _proposals(share: float, items: int, command: bytes) -> bytes:
    proposals = tuple((ProposalId(2, 1, number, 0), command) for number in range(1, items + 1))
    return encode(_SENDER, Propose(2, 1, proposals))


def _propose(name: str, items: int, command: Callable[[float], bytes]) -> Row:
    """A call of many proposals is that many requests of clients."""

    def case(share: float) -> Case:
        many = items if items == 1 else int(share * items)
        body = _proposals(share, many, command(share if items == 1 else 1.0))
        return Case(len(body), lambda _: decode_call(body, 1), pieces=max(1, many // 64))

    return Row(f"peer: Propose of {name}", case)


def _values(kind: type[Any], share: float) -> dict[str, object]:
    """The longest fields that a message of this kind can have."""
    longest: dict[object, object] = {
        int: 1 << 52,
        bool: True,
        str: "x" * int(share * TEXT_POINTS_MAX),
        dict[int, str]: dict.fromkeys(range(1, int(share * MEMBERS_MAX) + 1), "x" * TEXT_POINTS_MAX),
        tuple[int, ...]: tuple(range(int(share * MEMBERS_MAX))),
        bytes: b"x" * int(share * NOTICE_BYTES_MAX),
        SnapshotMeta: SnapshotMeta(9, 1, 1, 1, configuration(int(share * MEMBERS_MAX))),
    }
    known = get_type_hints(kind)
    own: dict[str, object] = {"source": _SENDER.id, "target": 1, "entries": (), "proposals": (), "lines": b"x\n"}
    own["indexes"] = tuple(range(1, max(2, int(share * FETCH_INDEXES_MAX))))
    return {field.name: own[field.name] if field.name in own else longest[known[field.name]] for field in fields(kind)}


def _every(kinds: Iterable[type[Any]], decode: Callable[[bytes], object]) -> Iterator[Row]:
    """A row for each kind of message; a plain one, and one with its first line written otherwise."""
    for kind in kinds:
        name = f"peer: {kind.__name__}"
        plain = partial(_message, kind)
        yield of(name, decode, plain)
        # All of them read their first line by the same functions.
        yield replace(of(f"{name} with blanks", decode, partial(_padded, plain)), takes_long=True)


def _message(kind: type[Any], share: float) -> bytes:
    return encode(_SENDER, kind(**_values(kind, share)))


def _padded(plain: Callable[[float], bytes], share: float) -> bytes:
    return plain(share).replace(b'"rpc":', b'"rpc":' + b" " * int(share * HEAD_BYTES_MAX // 2), 1)


def _picture(names: int, typing: int) -> bytes:
    online = [f"n{n}" + marked(3) for n in range(names)]
    return json.dumps(
        {"Online": online, "Typing": [[marked(60), marked(60), n] for n in range(typing)]}, ensure_ascii=False
    ).encode()


def _body(data: bytes) -> bytes:
    return _read_body({"CONTENT_LENGTH": str(len(data)), "wsgi.input": BytesIO(data)})


def _admitted(incarnation: bytes) -> Sender:
    return Sender(MEMBERS_MAX + 1, incarnation.decode(), "c" * 32, "", 3)


SNAPSHOT_ENTRIES = 4_000


def _chunk(share: float) -> Case:
    """Of a snapshot's entries, as they come from a peer."""
    log = [
        command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}')
        for n in range(1, SNAPSHOT_ENTRIES + 1)
    ]
    live = range(1, int(share * SNAPSHOT_ENTRIES) + 1)
    whole = snapshot_bytes(log, SNAPSHOT_ENTRIES, list(live), "aa")

    def receiver() -> SnapshotReceiver:
        return SnapshotReceiver(PowerDisk(), DIRECTORY, "aa", SNAPSHOT_ENTRIES, 1, len(whole))

    return Case(len(whole), lambda taking: taking.write(0, whole), receiver)


def rows() -> Iterator[Row]:
    """All of them."""
    for name, make in _calls():
        yield of(f"peer: {name}", lambda body: decode_call(body, 1), make)
    yield _propose("small commands", FORWARD_MAX, lambda share: b"1")
    yield _propose("posts", FORWARD_MAX, lambda share: b'{"Type":"post","Message":"' + b"x" * 1000 + b'"}')
    half = RECORD_BYTES_MAX // 2 - 100
    yield _propose("one long text", 1, lambda share: b'"' + b"\\u0101" * int(share * half / 6) + b'"')
    yield _propose("one long list", 1, lambda share: b"[1" + b",1" * int(share * half / 2 - 2) + b"]")
    yield _propose("one list of lists", 1, lambda share: b"[[]" + b",[]" * int(share * half / 3 - 2) + b"]")
    yield _propose("one list of objects", 1, lambda share: b"[{}" + b",{}" * int(share * half / 3 - 2) + b"]")
    yield _propose("one number", 1, lambda share: b"9" * int(share * 4300))
    yield from _every(get_args(Call), lambda body: decode_call(body, 1))
    yield from _every(get_args(Answer), decode_answer)
    yield of("peer: head of an answer", peer_client._parse_head, lambda share: (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n" + b"a:\r\n" * int(share * peer_client.HEAD_BYTES_MAX / 4)
    ))  # fmt: skip
    yield of("peer: refusal", read_refusal, lambda share: (
        b'{"code":"x","cluster_id":"","detail":"' + b"\\u0101" * int(share * 150_000) + b'"}'
    ))  # fmt: skip
    yield of("peer: configuration", decode_configuration, lambda share: configuration(int(share * MEMBERS_MAX), 10_000))
    yield of("peer: report of a member", lambda text: member_reports.decode(text.decode()), lambda share: (
        b"[" * int(share * TEXT_POINTS_MAX)
    ))  # fmt: skip
    yield of("peer: digests of the state", lambda text: decode_digests(text.decode()), lambda share: (
        b"1.1@7=aaaa " * int(share * TEXT_POINTS_MAX / 11)
    ))  # fmt: skip
    yield of("peer: picture of many users", read_node_presence, lambda share: _picture(int(share * NAMES_BYTES_MAX), 0))
    yield of("peer: picture of typing", read_node_presence, lambda share: _picture(0, int(share * TYPING_MAX)))
    for name, check in (
        ("peer", is_peer_url),
        ("client", is_client_url),
        ("parsed", peer_client.parse_peer_url),
        ("local", is_local_url),
    ):
        yield of(f"peer: {name} URL", lambda text, one=check: one(text.decode()), lambda share: (  # type: ignore[misc]
            b"http://" + b"a." * int(share * (URL_POINTS_MAX - 20) / 2) + b"a:1"
        ))  # fmt: skip
    yield Row("peer: snapshot's entries", _chunk)
    yield of("peer: body", _body, lambda share: b"x" * int(share * APPEND))
    committed = decode_configuration(configuration(MEMBERS_MAX, 10_000))
    yield of(
        "peer: a sender who is admitted",
        lambda text: check_sender(_admitted(text), "c" * 32, committed, committed),
        lambda share: b"i" * int(share * TEXT_POINTS_MAX),
    )
    line = command_entry(1, 1, 1, ProposalId(1, 1, 1, 0), b'{"a":"' + b"x" * 1_000_000 + b'"}').record
    for name, decode in (
        ("unseal", unseal),
        ("decode_entry", decode_entry),
        ("command_of_verified", lambda data: command_of_verified(data, 1)),
        ("decode_entries", lambda data: decode_entries(data, 0, 1)),
        ("entry_at", lambda data: entry_at(data, 0, 1)),
    ):
        yield of(f"record: {name}", decode, lambda share: (
            command_entry(1, 1, 1, ProposalId(1, 1, 1, 0), b"9" * int(share * len(line))).record
        ))  # fmt: skip
    yield of("record: digits", lambda data: decode_entries(data, 0, 1), lambda share: b"0" * int(share * APPEND))
