"""Whose data directory this is: the LOCK that keeps others out, and identity.json.

Rules.  One process uses a data directory at a time.  A directory belongs to one member id for ever, and to one
incarnation: a random name made with it, by which the cluster tells a wiped disk from the member it knew.  `boot`
has grown, durably, before anything else happens in a start, so that no two starts ever name a proposal the same.
A directory knows where it is: a copy of it is found out, because a member that comes back older than it was could
lose what it has acknowledged, and two of it would vote twice.
The file is replaced as a whole (temp, fsync, rename, directory fsync): a crash leaves the old one or the new one.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from raft.disk import TEMPORARY_SUFFIX, Closeable, Disk, create_durably, read_all
from raft.errors import DiskFailed, StartRefused

FORMAT = 1
LOCK_NAME = "LOCK"
IDENTITY_NAME = "identity.json"
INCARNATION_BYTES = 16  # random; nobody ever meets another's by chance
ADVICE = "restore this member's directory from a copy, or wipe it and re-add the member under a new id"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Founder:
    """A member as it was when the cluster was created."""

    url: str
    incarnation: str
    advertise: str
    level: int = 0  # of its program; 0: not known


@dataclass(frozen=True, slots=True)
class Place:
    """Where a data directory is, by its inodes: they stay when it is renamed or changes hands."""

    directory: int
    lock: int  # of the LOCK in it: what is copied into an old directory has another one


@dataclass(frozen=True, slots=True)
class Identity:
    """What identity.json holds."""

    id: int
    incarnation: str  # hex digits, made with the data directory
    boot: int  # 1 in the first start, one more in each
    cluster_id: str = ""  # hex digits; "" until a cluster is created or joined
    founders: Mapping[int, Founder] = field(default_factory=dict)  # by id; empty until all of them answered
    joining: bool = False  # started with --join and not met by the cluster yet
    place: Place | None = None  # None: of a version that did not note it, or never started to its end


def lock_directory(disk: Disk, data_dir: Path) -> Closeable:
    """Make the data directory where it is missing, and hold it for this process until closed.

    Raises StartRefused: another process holds it, or it cannot be made.
    """
    path = data_dir / LOCK_NAME
    try:
        disk.make_directory(data_dir)
        return disk.lock(path, b"%d\n" % os.getpid())
    except BlockingIOError:
        owner = read_all(disk, path).decode("ascii", "replace").strip() or "unknown"
        raise StartRefused(f"data directory {data_dir} is in use by another process (pid {owner})") from None
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be used: {error.strerror}") from error


def load_or_create(disk: Disk, data_dir: Path, id: int, random_bytes: Callable[[int], bytes] = os.urandom) -> Identity:
    """The directory's identity with `boot` one higher, saved; a new one where the directory is blank.

    The caller holds the lock.  Raises StartRefused (another member's directory, a damaged file, a log without an
    identity) or DiskFailed.
    """
    try:
        names = disk.list(data_dir)
        if IDENTITY_NAME + TEMPORARY_SUFFIX in names:
            disk.remove(data_dir / (IDENTITY_NAME + TEMPORARY_SUFFIX))  # a creation that a crash cut short
        found = decode(read_all(disk, data_dir / IDENTITY_NAME)) if IDENTITY_NAME in names else None
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StartRefused(f"{data_dir / IDENTITY_NAME}: {error}; {ADVICE}") from None
    if found is None and any(name.startswith(("log-", "snapshot-")) for name in names):
        raise StartRefused(f"data directory {data_dir} holds a log but no {IDENTITY_NAME}; {ADVICE}")
    if found is not None and found.id != id:
        raise StartRefused(f"data directory {data_dir} belongs to member {found.id}, not to member {id} as --id says")
    identity = found or Identity(id, random_bytes(INCARNATION_BYTES).hex(), 0)
    identity = replace(identity, boot=identity.boot + 1)
    save(disk, data_dir, identity)
    return identity


def settle(disk: Disk, data_dir: Path, identity: Identity, *, alone: bool, moved: bool) -> Identity:
    """The identity with the place of its directory, saved where that is new.

    `alone`: by its own log this member is the only voter, so nobody else relies on what it has acknowledged.
    `moved`: the operator says that this is the newest copy, and the only one.  The caller holds the lock.
    Raises StartRefused (it is another place than it was) or DiskFailed.
    """
    try:
        here = Place(disk.inode(data_dir), disk.inode(data_dir / LOCK_NAME))
    except OSError as error:
        raise StartRefused(f"data directory {data_dir} cannot be read: {error.strerror}") from error
    if identity.place == here:
        return identity
    if identity.place is not None and not alone and not moved:
        raise StartRefused(
            f"data directory {data_dir} was copied from another place, and an older copy of member {identity.id} could "
            "lose what it has acknowledged: if this is the newest one and no other is ever started again, start it "
            f"with --moved; else remove member {identity.id} and add a new id"
        )
    identity = replace(identity, place=here)
    save(disk, data_dir, identity)
    return identity


def save(disk: Disk, data_dir: Path, identity: Identity) -> None:
    """Replace identity.json; durable when this returns.  Raises DiskFailed."""
    try:
        create_durably(disk, data_dir / IDENTITY_NAME, encode(identity)).close()
    except OSError as error:
        raise DiskFailed(f"{data_dir / IDENTITY_NAME}: {error.strerror}") from error


def encode(identity: Identity) -> bytes:
    """The content of identity.json: one line of JSON."""
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
    if identity.place is not None:
        value["Place"] = {"Directory": identity.place.directory, "Lock": identity.place.lock}
    return json.dumps(value).encode() + b"\n"


def decode(data: bytes) -> Identity:
    """The identity in the bytes of identity.json.  Raises ValueError, in words, for anything `encode` does not make."""
    value = _Members(json.loads(data))
    format = value.integer("Format")
    if format != FORMAT:
        raise ValueError(f"it has format {format}, and this program knows format {FORMAT}")
    return Identity(
        id=value.integer("Id"),
        incarnation=value.text("Incarnation"),
        boot=value.integer("Boot"),
        cluster_id=value.text("ClusterId"),
        founders={int(id): _founder(_Members(one)) for id, one in value.mapping("Founders").items()},
        joining=value.flag("Joining"),
        place=_place(_Members(value.mapping("Place"))) if value.has("Place") else None,
    )


def _place(value: "_Members") -> Place:
    return Place(value.integer("Directory"), value.integer("Lock"))


def _founder(value: "_Members") -> Founder:
    return Founder(value.text("Url"), value.text("Incarnation"), value.text("Advertise"), value.integer("Level", 0))


class _Members:
    """A JSON object whose members are taken by name and type, or refused in words."""

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
        """`default`: where the file is older than the member."""
        return self._take(name, int, default)

    def text(self, name: str) -> str:
        return self._take(name, str)

    def flag(self, name: str) -> bool:
        return self._take(name, bool)

    def mapping(self, name: str) -> dict[str, object]:
        return self._take(name, dict)
