"""What a start reads: the log and its indexes, a snapshot, a document of the state, the small files, the options.

None of it is a request, so how long it may take is not bounded here; that it takes twice as long for twice as much is.
"""

import json
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from chat.cli import operator_file
from chat.cli.option_table import OptionRefused
from chat.cli.options import read_options
from chat.commands import OPERATOR, Actor, Post
from chat.commands.accounts import CreateInvite, CreateTicket, CreateUser
from chat.commands.cluster import ForgetRooms
from chat.commands.imports import ImportedPost, ImportPost
from chat.commands.posts import React
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from chat.state.accounts import INVITES_MAX, MEMBER
from chat.state.room_details import PRIVATE, PUBLIC, RoomDetails
from chat.state.room_directory import RoomDirectory
from chat.state.snapshot.document import decode
from raft.backup.backup_file import BackupCheck, encode_header
from raft.backup.report import BackupHeader
from raft.core import packed_numbers
from raft.core.entries import command_entry, decode_object
from raft.core.raft_messages import HardState, ProposalId
from raft.engine.damage import NAME as DAMAGE_NAME
from raft.engine.damage import Damage
from raft.storage import identity
from raft.storage.file_names import sequence_of, snapshot_name
from raft.storage.log_store import Storage
from raft.storage.segment import decode_header, decode_opening
from raft.storage.snapshot_file import scan_file
from tests.chat.login_client import LoginClient
from tests.doubling.http_rows import of
from tests.doubling.rows import Case, Row
from tests.doubling.texts import marked
from tests.raft.power import PowerDisk
from tests.raft.storage.test_snapshots import DIRECTORY, compacted

ENTRIES = 8_000
ROOMS = 200
ALIKE = 20_000


def _identity(share: float) -> bytes:
    founders = {
        str(id): {"Url": "x" * 2000, "Incarnation": "i" * 32, "Advertise": "", "Level": 3}
        for id in range(int(share * 500))
    }
    places = [[1, 2, 3]] * int(share * 20_000)
    return json.dumps(
        {"Format": identity.FORMAT, "Id": 1, "Incarnation": "i", "Boot": 1, "ClusterId": "c", "Joining": False,
         "Founders": founders, "Places": places}
    ).encode()  # fmt: skip


def _operator_file(share: float) -> Case:
    token = "\\u0041" * int(share * (operator_file.BYTES_MAX // 6 - 20))
    text = f'{{"Url":"http://127.0.0.1:1","Token":"{token}"}}'
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / operator_file.NAME).write_text(text)
        data = (Path(directory) / operator_file.NAME).read_bytes()
    return Case(len(data), lambda _: _read_operator_file(data))


def _read_operator_file(data: bytes) -> object:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / operator_file.NAME).write_bytes(data)
        return operator_file.read(Path(directory))


def _options(share: float) -> Case:
    text = "\n".join(f'"x{n}" = "{marked(60)}"' for n in range(int(share * 2_000))) + '\nid = "1"\n'
    directory = tempfile.mkdtemp(prefix="raft-chat-doubling-")
    path = Path(directory) / "raft-chat.toml"

    def prepared() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def run(_: object) -> None:
        with suppress(OptionRefused):
            read_options(["--config", str(path)], {})
        path.unlink()
        path.parent.rmdir()

    path.parent.rmdir()
    return Case(len(text), run, prepared)


def _cluster_option(share: float) -> Case:
    urls = ",".join(f"{n}=http://{'a' * 200}:{n}" for n in range(1, int(share * 64) + 1))

    def run(_: object) -> None:
        with suppress(OptionRefused):
            read_options(["--cluster", urls], {})

    return Case(len(urls), run)


def _document(share: float) -> Case:
    """Of a state with rooms, members, posts, reactions, users, tokens, tickets, invites and memories of ClientIds."""
    chat = LoginClient()
    for number in range(int(share * ROOMS)):
        user, room = f"u{number}", f"r{number}"
        chat.do(CreateUser(Actor(OPERATOR), user, user, f"{number}", "hash", MEMBER))
        token = chat.log_in(user, user)
        actor = Actor(token, user)
        chat.do(CreateTicket(actor, sha256(user.encode()).digest(), 0))
        chat.do(CreateRoom(actor, room, PUBLIC, "topic", (user, "bob")))
        chat.do(CreateRoom(actor, f"looks {number}", PUBLIC, looks=f"looks {number}"))
        chat.do(Post(room, user, "hi @bob", user, by=token, mentions=("bob",)))
        chat.do(Post(room, user, "ho", f"{user}-2", by=token))
        chat.do(React(actor, room, 1, "+", on=True))
        chat.do(SetPreferences(actor, room, favourite=True))
        chat.do(ImportPost(Actor(OPERATOR), room, "s", 1, (), False, 1, ImportedPost(user, "hi", "c")))
        chat.do(DeleteRoom(actor, room) if number % 3 else ChangeRoom(actor, room, name=f"{room} again"))
        if number < INVITES_MAX // 2:
            chat.do(CreateInvite(Actor(OPERATOR), sha256(room.encode()).digest(), MEMBER, (), 1, 0, ""))
    ann = Actor(OPERATOR)
    chat.do(CreateRoom(ann, "open", PUBLIC))
    chat.do(ChangeRoom(ann, "open", visibility=PRIVATE, drawn="a" * 10))
    chat.state.ask(lambda tables: setattr(tables, "erased_index", 1))
    chat.do(ForgetRooms(tuple(f"r{number}" for number in range(50))))
    chat.state.set_clock(chat.replica.last_applied, 1, 1 << 50)
    lines = list(chat.state.document())
    return Case(sum(map(len, lines)), lambda _: decode(lines, chat.replica.last_applied))


def _log(share: float, *, indexed: bool) -> Case:
    count = int(share * ENTRIES)
    entries = [
        command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}') for n in range(1, count + 1)
    ]

    def prepared() -> PowerDisk:
        disk = PowerDisk()
        storage = Storage.open(disk, DIRECTORY, segment_bytes=1 << 18)
        for start in range(0, count, 500):
            storage.append(HardState(1, 1, 0), entries[start : start + 500])
        storage.close()
        if not indexed:
            for name in disk.list(DIRECTORY):
                if name.endswith(".idx"):
                    disk.remove(DIRECTORY / name)
        return disk

    def run(disk: PowerDisk) -> None:
        Storage.open(disk, DIRECTORY, segment_bytes=1 << 18).close()

    return Case(count, run, prepared)


def _snapshot(share: float) -> Case:
    count = int(share * ENTRIES)
    log = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}') for n in range(1, count + 1)]
    disk = PowerDisk()
    compacted(disk, DIRECTORY, log, count, range(1, count + 1), "aa")
    name = snapshot_name(count)
    return Case(len(disk.content()[name]), lambda _: scan_file(disk, DIRECTORY, name))


def _backup(share: float) -> Case:
    """In pieces that end anywhere in a line."""
    count = int(share * ENTRIES)
    log = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}') for n in range(1, count + 1)]
    disk = PowerDisk()
    meta = compacted(disk, DIRECTORY, log, count, range(1, count + 1), "aa")
    header = BackupHeader("1.0.0", "2026-11-30T21:00:00Z", "aa", "", meta.index, meta.term, meta.time)
    data = encode_header(header) + disk.content()[snapshot_name(count)]

    def run(_: object) -> None:
        checked = BackupCheck()
        for start in range(0, len(data), 10_000):
            checked.feed(data[start : start + 10_000])
        checked.finish()

    return Case(len(data), run)


def _damaged_log(share: float) -> Case:
    """A log whose every second sealed segment has lost its middle, looked through and written anew."""
    count = int(share * ENTRIES)
    log = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}') for n in range(1, count + 1)]

    def prepared() -> tuple[PowerDisk, Storage]:
        disk = PowerDisk()
        storage = Storage.open(disk, DIRECTORY, segment_bytes=1 << 16)
        for start in range(0, count, 100):
            storage.append(HardState(1, 1, 0), log[start : start + 100])
        segments = sorted(name for name in disk.list(DIRECTORY) if sequence_of(name))
        for name in segments[:-1:2]:
            data = disk.content()[name]
            middle = len(data) // 2
            disk.write(DIRECTORY / name, data[:middle] + bytes(2_000) + data[middle + 2_000 :])
        return disk, storage

    def run(made: tuple[PowerDisk, Storage]) -> None:
        storage = made[1]
        lost = {index for step in storage.verify() for damage in step.damages for index in damage.indexes}
        assert lost and storage.mend({index: log[index - 1].record for index in lost}) == lost

    return Case(count, run, prepared)


def _sound_log(share: float) -> Case:
    """A log of sealed segments that are as they were written, looked through."""
    count = int(share * ENTRIES)
    log = [command_entry(n, 1, n, ProposalId(1, 1, n, 0), b'{"a":"' + b"x" * 150 + b'"}') for n in range(1, count + 1)]
    disk = PowerDisk()
    with closing(Storage.open(disk, DIRECTORY, segment_bytes=1 << 14)) as written:
        for start in range(0, count, 10):
            written.append(HardState(1, 1, 0), log[start : start + 10])
        written.keep_indexes()
    storage = Storage.open(disk, DIRECTORY, segment_bytes=1 << 14)

    def run(_: object) -> None:
        assert not any(damage.indexes for step in storage.verify() for damage in step.damages)

    return Case(count, run)


def _planes(share: float, step: int) -> Case:
    count = int(share * packed_numbers.ITEMS_MAX)
    packed = packed_numbers.pack(array("Q", [(n * step) % (1 << 62) for n in range(count)]).tobytes(), 8)
    return Case(count * 8, lambda _: packed_numbers.unpack(packed, 8, count))


def _damage(share: float) -> Case:
    disk = PowerDisk()
    line = b'{"File":"' + b"x" * 2_000 + b'","Offset":1}\n'
    with closing(disk.create(DIRECTORY / DAMAGE_NAME)) as file:
        file.append(line * int(share * 1_000))
    return Case(int(share * 1_000) * len(line), lambda _: Damage(disk, DIRECTORY)._load(disk))


def _object(share: float) -> bytes:
    return b'{"a":[[]' + b",[]" * int(share * 100_000) + b"]}"


def _rooms_that_look_alike(share: float) -> Case:
    count = int(share * ALIKE)
    names = [f"{number:016b}".replace("0", "a").replace("1", "A") for number in range(count)]

    def run(_: object) -> None:
        table = RoomDirectory()
        rooms = [table.make(name, RoomDetails(), "as all of them") for name in names]
        table.derive()
        for room in rooms:
            table.remove(room, 1)

    return Case(count, run)


def rows() -> Iterator[Row]:
    """All of them."""
    in_a_start = [
        of("file: identity.json", identity.decode, _identity),
        Row("file: operator.json", _operator_file),
        Row("file: options", _options),
        Row("option: --cluster", _cluster_option),
        Row("file: log", lambda share: _log(share, indexed=False)),
        Row("file: log with indexes", lambda share: _log(share, indexed=True)),
        Row("file: snapshot", _snapshot),
        Row("file: backup", _backup),
        Row("file: log with damage", _damaged_log),
        Row("file: log without damage", _sound_log),
        # How well megabytes fit a processor's cache is more than half of it, so a busy machine is not asked.
        Row("file: positions that follow", lambda share: _planes(share, 200), takes_long=True),
        Row("file: positions like noise", lambda share: _planes(share, 0x9E3779B97F4A7C15), takes_long=True),
        Row("file: damage", _damage),
        Row("file: document of the state", _document),
        Row("state: rooms that look alike", _rooms_that_look_alike),
        of("file: record of an object", decode_object, _object),
        of("file: opening", decode_opening, lambda share: b"9" * int(share * 100_000)),
        of("file: header", decode_header, _object),
    ]
    for row in in_a_start:
        yield replace(row, is_bounded=False)
