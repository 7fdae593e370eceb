"""The owner of a data directory: the LOCK against other processes, and identity.json.

Rules.  One process uses a data directory at a time.  A directory belongs to one member id for ever, and to one
incarnation: a random name made with it, by which the cluster tells a wiped disk from the member it knew.  In a start,
`boot` grows durably, by a random number, before anything else happens: so no two starts name a proposal the same
(dissertation §6.3), even if one of them is on a rolled back volume.

Each start makes the file PLACE anew, and identity.json records the marks that no copy keeps: its inode number and
generation.  So a copy, or a restore in place, is recognized.  That matters because a member on an older copy could lose
what it has acknowledged (Raft §5.2, §5.4), and two members on one directory would vote twice.  While PLACE changes,
identity.json names the old and the new one, so that a crash in between can start again.  A rollback of the whole volume
keeps PLACE: only other members can find it out, by `boots` (boots.py).

identity.json is replaced as a whole (temporary file, fsync, rename, directory fsync): a crash leaves the old one or the
new one.
"""

import errno
import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from raft.core.boots import is_list_of_boots, with_boot
from raft.errors import ADVICE, DiskFailed, DiskFull, OtherFormat, StartRefused
from raft.storage.disk import TEMPORARY_SUFFIX, Closeable, Disk, FileMarks, NoRoom, create_durably, read_all

FORMAT = 1  # of the whole data directory: another one is refused
LOCK_NAME = "LOCK"
IDENTITY_NAME = "identity.json"
PLACE_NAME = "PLACE"
MOVED_LEAP = 1 << 32  # more than the random steps of all starts that an older copy may lack
GENERATION_BYTES = 8
INCARNATION_BYTES = 16  # random, so that no two are ever equal by chance
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Founder:
    """A member as it was when the cluster was created."""

    url: str
    incarnation: str
    advertise: str
    level: int = 0  # of its program; 0: not known


@dataclass(frozen=True, slots=True)
class Identity:
    """The content of identity.json."""

    id: int
    incarnation: str  # hex digits, made with the data directory
    boot: int  # 1 or more; each start adds a random number
    cluster_id: str = ""  # hex digits; "" until a cluster is created or joined
    founders: Mapping[int, Founder] = field(default_factory=dict)  # by id; empty until all of them answered
    joining: bool = False  # started with --join and not met by the cluster yet
    places: tuple[FileMarks, ...] = ()  # of PLACE; two while it changes; none before the end of the first start
    refused: str = ""  # why no start may follow; "" for none
    generation: str = ""  # hex digits, to be committed: a sole voter started from a copy ("" else)
    boots: tuple[int, ...] = ()  # from the last one known to be recorded, to `boot`


def lock_directory(disk: Disk, data_dir: Path) -> Closeable:
    """Make the data directory if it is missing, and hold it for this process until closed.

    Raises StartRefused: another process holds it, or it cannot be made.
    """
    path = data_dir / LOCK_NAME
    try:
        disk.make_directory(data_dir)
        refuse_if_others_may_write(disk, data_dir)
        return disk.lock(path, b"%d\n" % os.getpid())
    except BlockingIOError:
        owner = read_all(disk, path).decode("ascii", "replace").strip() or "unknown"
        raise StartRefused(f"data directory {data_dir} is in use by another process (pid {owner})") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StartRefused(f"{path} is a symbolic link, which a node never makes: delete it") from error
        raise StartRefused(f"data directory {data_dir} cannot be used: {error.strerror}") from error


def refuse_if_others_may_write(disk: Disk, data_dir: Path) -> None:
    """Refuse a directory whose log or lock other users could replace.  Raises StartRefused."""
    owner, mode = disk.owner_and_mode(data_dir)
    if owner not in (os.geteuid(), 0) and os.geteuid() != 0:
        raise StartRefused(
            f"data directory {data_dir} belongs to user {owner}, and this node runs as user {os.geteuid()}: "
            "start it as that user, or give it the directory with chown"
        )
    if mode & stat.S_IWOTH:
        raise StartRefused(f"every user may write data directory {data_dir}: chmod go-w {data_dir}")


def load(disk: Disk, data_dir: Path, id: int = 0) -> Identity | None:
    """Load the directory's identity without changing anything; None if there is none, and no log.

    Raises StartRefused: a damaged file, a log without an identity, an older copy, or with an `id` another member's
    directory.
    """
    try:
        names = disk.list(data_dir)
        found = decode(read_all(disk, data_dir / IDENTITY_NAME)) if IDENTITY_NAME in names else None
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error.strerror}") from error
    except OtherFormat as other:
        advice = "or start this version with a new --data-dir"
        raise StartRefused(f"{data_dir / IDENTITY_NAME}: it has {other}, {advice}") from None
    except ValueError as invalid:
        raise StartRefused(f"{data_dir / IDENTITY_NAME}: {invalid}; {ADVICE}") from None
    if found is None and any(name.startswith(("log-", "snapshot-")) for name in names):
        raise StartRefused(f"data directory {data_dir} holds a log but no {IDENTITY_NAME}; {ADVICE}")
    if found is not None and id and found.id != id:
        raise StartRefused(f"data directory {data_dir} belongs to member {found.id}, not to member {id} as --id says")
    if found is not None and found.refused:
        raise StartRefused(f"data directory {data_dir} is an older copy: {found.refused}")
    return found


def load_or_create(disk: Disk, data_dir: Path, id: int, random_bytes: Callable[[int], bytes] = os.urandom) -> Identity:
    """Load the directory's identity and save it with a higher `boot`; make a new one in an empty directory.

    The caller holds the lock.  Raises StartRefused as `load` does, DiskFull or DiskFailed.
    """
    try:
        names = disk.list(data_dir)
        for name in (IDENTITY_NAME, PLACE_NAME):
            if name + TEMPORARY_SUFFIX in names:
                disk.remove(data_dir / (name + TEMPORARY_SUFFIX))  # a creation that a crash cut short
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error.strerror}") from error
    identity = load(disk, data_dir, id) or Identity(id, random_bytes(INCARNATION_BYTES).hex(), 0)
    identity = _with_boot(identity, identity.boot + 1 + _random_31_bits(random_bytes))
    save(disk, data_dir, identity)
    return identity


def _with_boot(identity: Identity, boot: int) -> Identity:
    """Add a boot; a file of an earlier version names its last boot only."""
    known = identity.boots or ((identity.boot,) if identity.boot else ())
    return replace(identity, boot=boot, boots=with_boot(known, boot))


def settle(disk: Disk, data_dir: Path, identity: Identity, *, alone: bool, moved: bool) -> Identity:
    """Make a new PLACE, and return the saved identity with it.

    `alone`: by its own log this member is the only voter, so no other member relies on what it has acknowledged.  If
    its directory is a copy, it starts with a new generation.  `moved`: the operator says that this is the newest copy,
    and the only one. Both raise `boot` above that of any start that the copy does not know of. The caller holds the
    lock.  Raises StartRefused (this is a copy), DiskFull or DiskFailed.
    """
    old = _place(disk, data_dir)
    copied = _is_copy(identity, old)
    if not moved:
        refuse_copy(disk, data_dir, identity, alone=alone)
    if copied or moved:
        identity = _with_boot(identity, identity.boot + MOVED_LEAP + _random_31_bits(os.urandom))
    if copied and alone:
        identity = replace(identity, generation=os.urandom(GENERATION_BYTES).hex())
    return _with_new_place(disk, data_dir, identity, old)


def refuse_copy(disk: Disk, data_dir: Path, identity: Identity, *, alone: bool) -> None:
    """Raise StartRefused if this directory is a copy, unless its member is `alone` (see `settle`)."""
    if not alone and _is_copy(identity, _place(disk, data_dir)):
        raise StartRefused(
            f"data directory {data_dir} was copied or restored, and an older copy of member {identity.id} could "
            "lose what it has acknowledged: if this is the newest one and no other is ever started again, start it "
            f"with --moved; else remove member {identity.id} and add a new id"
        )


def _is_copy(identity: Identity, place: tuple[FileMarks, ...]) -> bool:
    known_places = identity.places
    return bool(known_places) and not any(here.is_same_file(known) for here in place for known in known_places)


def _place(disk: Disk, data_dir: Path) -> tuple[FileMarks, ...]:
    """Return the marks of PLACE; none if it is missing."""
    try:
        return (disk.marks(data_dir / PLACE_NAME),) if PLACE_NAME in disk.list(data_dir) else ()
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error.strerror}") from error


def _with_new_place(disk: Disk, data_dir: Path, identity: Identity, old: tuple[FileMarks, ...]) -> Identity:
    """Replace PLACE, in an order that lets a crash after each step start again.  Raises DiskFull or DiskFailed."""
    path = data_dir / PLACE_NAME
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    try:
        file = disk.create(temporary)
        try:
            file.fsync()
        finally:
            file.close()
        new = disk.marks(temporary)
        save(disk, data_dir, replace(identity, places=(*old, new)))
        disk.rename(temporary, path)
        disk.sync_directory(data_dir)
    except OSError as error:
        raise DiskFailed(f"{path}: {error.strerror}") from error
    identity = replace(identity, places=(new,))
    save(disk, data_dir, identity)
    return identity


def _random_31_bits(random_bytes: Callable[[int], bytes]) -> int:
    return int.from_bytes(random_bytes(4)[:4], "big") >> 1


def save(disk: Disk, data_dir: Path, identity: Identity) -> None:
    """Replace identity.json; durable when this returns.

    Raises DiskFull: the file is unchanged, and the same may be retried; DiskFailed.
    """
    path = data_dir / IDENTITY_NAME
    try:
        try:
            create_durably(disk, path, encode(identity)).close()
        except FileExistsError:  # left by an earlier try on a disk that was read-only by then
            disk.remove(path.with_name(path.name + TEMPORARY_SUFFIX))
            create_durably(disk, path, encode(identity)).close()
    except NoRoom as full:
        raise DiskFull(f"{path} cannot be saved: {full.strerror}") from full
    except OSError as error:
        raise DiskFailed(f"{data_dir / IDENTITY_NAME}: {error.strerror}") from error


def encode(identity: Identity) -> bytes:
    """Return the content of identity.json: one line of JSON."""
    founders = {
        str(id): {
            "Url": founder.url,
            "Incarnation": founder.incarnation,
            "Advertise": founder.advertise,
            "Level": founder.level,
        }
        for id, founder in sorted(identity.founders.items())
    }
    value: dict[str, object] = {
        "Format": FORMAT,
        "Id": identity.id,
        "Incarnation": identity.incarnation,
        "Boot": identity.boot,
        "ClusterId": identity.cluster_id,
        "Founders": founders,
        "Joining": identity.joining,
    }
    if identity.boots:
        value["Boots"] = list(identity.boots)
    if identity.places:
        value["Places"] = [list(place) for place in identity.places]
    if identity.refused:
        value["Refused"] = identity.refused
    if identity.generation:
        value["Generation"] = identity.generation
    return json.dumps(value).encode() + b"\n"


def decode(data: bytes) -> Identity:
    """Decode the bytes of identity.json.

    Raises OtherFormat for another version's file, and ValueError, in words, for anything else `encode` does not make.
    """
    value = _Members(json.loads(data))
    format = value.integer("Format")
    if format != FORMAT:
        raise OtherFormat(format, FORMAT)
    return Identity(
        id=value.integer("Id"),
        incarnation=value.text("Incarnation"),
        boot=value.integer("Boot"),
        boots=_boots(value.items("Boots"), value.integer("Boot")) if value.has("Boots") else (),
        cluster_id=value.text("ClusterId"),
        founders={int(id): _founder(_Members(one)) for id, one in value.mapping("Founders").items()},
        joining=value.flag("Joining"),
        places=_places(value.items("Places")) if value.has("Places") else (),
        refused=value.text("Refused") if value.has("Refused") else "",
        generation=value.text("Generation") if value.has("Generation") else "",
    )


def _boots(value: list[object], boot: int) -> tuple[int, ...]:
    if not is_list_of_boots(value) or value[-1:] != [boot]:
        raise ValueError("Boots is not an ascending list that ends with Boot")
    return tuple(number for number in value if isinstance(number, int))


def _places(value: list[object]) -> tuple[FileMarks, ...]:
    places = []
    for place in value:
        if not isinstance(place, list) or len(place) != len(FileMarks._fields):
            raise ValueError("Places is not of its type")
        if any(type(number) is not int for number in place):
            raise ValueError("Places is not of its type")
        places.append(FileMarks(*place))
    return tuple(places)


def _founder(value: "_Members") -> Founder:
    return Founder(value.text("Url"), value.text("Incarnation"), value.text("Advertise"), value.integer("Level", 0))


class _Members:
    """A JSON object whose fields are taken by name and type, or refused in words."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        self._value: dict[str, object] = value

    def _take(self, name: str, kind: type[_T], default: _T | None = None) -> _T:
        value = self._value.get(name, default)
        if type(value) is not kind:  # not isinstance: True is an int
            raise ValueError(f"{name} is missing or not of its type")
        return value

    def has(self, name: str) -> bool:
        return name in self._value

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer; `default` is for a file that is older than the field."""
        return self._take(name, int, default)

    def text(self, name: str) -> str:
        return self._take(name, str)

    def flag(self, name: str) -> bool:
        return self._take(name, bool)

    def items(self, name: str) -> list[object]:
        return self._take(name, list)

    def mapping(self, name: str) -> dict[str, object]:
        return self._take(name, dict)
