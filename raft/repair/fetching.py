"""Entries from other members: the call, its answer, and which of the entries may be believed.

Rules.
- An answer holds what is sound on the answering member's own disk.  It never fetches for another member, so a fetch
  ends after one hop.
- An entry above the base here is believed if it has the term that this log has at its index.  The same index and term
  is the same entry (Raft §5.3, Log Matching), committed or not.
- At or below the base the terms are not kept.  There an entry is believed if the other member knows its index to be
  committed, for committed entries are unique by index (§5.4), and if its term lies between those of its neighbours.
  A member that does not know so yet, for it has just started, counts as one that cannot be asked.
- An older program does not know the call, and counts as a member that has none of the entries.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from http import HTTPStatus
from typing import Protocol

from raft.core.configuration import Member
from raft.core.entries import entry_of_verified
from raft.core.node import Node, Role
from raft.core.raft_messages import Entry
from raft.engine.node_lock import NodeLock, configurations
from raft.engine.own_identity import OwnIdentity
from raft.errors import CorruptLog, OlderCopy, RefusedPeer
from raft.rpc.calls import FetchedEntries, FetchEntries
from raft.rpc.codec import FETCH_BYTES_MAX, FETCH_INDEXES_MAX, decode_answer, encode
from raft.rpc.peer_auth import check_sender
from raft.rpc.peer_client import Addresses, PeerConnection

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 2.0  # without progress: the other member reads a megabyte from its disk
_READ_ENTRIES = 64  # at once, so that long records are not read in vain


class Entries(Protocol):
    """Reads records by index (raft/storage/reader.py)."""

    def read_many(self, indexes: Sequence[int]) -> list[bytes]: ...


class Terms(Protocol):
    """The terms that a log knows without its entries (raft/storage/log_store.py)."""

    @property
    def base_index(self) -> int: ...
    def term_of(self, index: int) -> int: ...
    def term_bounds(self, index: int) -> tuple[int, int]: ...


def sound_records(reader: Entries, indexes: Sequence[int]) -> dict[int, bytes]:
    """Read these ascending entries, without those that are damaged or missing here.  Raises DiskFailed."""
    wanted = list(indexes)
    while wanted:
        try:
            return dict(zip(wanted, reader.read_many(wanted), strict=True))
        except CorruptLog as damage:
            damaged = set(damage.indexes)
            if damaged.isdisjoint(wanted):
                return _one_by_one(reader, wanted)
            wanted = [index for index in wanted if index not in damaged]
        except (LookupError, OSError):
            return _one_by_one(reader, wanted)
    return {}


def _one_by_one(reader: Entries, indexes: Sequence[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for index in indexes:
        try:
            (found[index],) = reader.read_many([index])
        except (CorruptLog, LookupError, OSError):
            continue
    return found


def in_order(reader: Entries, indexes: Sequence[int]) -> set[int]:
    """Return those of these ascending entries that are sound here, or are not in the log any more."""
    wanted = list(indexes)
    while wanted:
        try:
            reader.read_many(wanted)
        except CorruptLog as damage:
            damaged = set(damage.indexes)
            if damaged.isdisjoint(wanted):
                break
            wanted = [index for index in wanted if index not in damaged]
        except (LookupError, OSError):
            break
        else:
            return set(wanted)
    return {index for index in wanted if _is_in_order(reader, index)}


def _is_in_order(reader: Entries, index: int) -> bool:
    try:
        reader.read_many([index])
    except (CorruptLog, OSError):
        return False
    except LookupError:
        pass
    return True


def answer_fetch(reader: Entries, commit_index: int, call: FetchEntries) -> FetchedEntries:
    """Answer another member's request with what is sound here: at least one entry if there is one."""
    entries: list[Entry] = []
    size = 0
    for start in range(0, len(call.indexes), _READ_ENTRIES):
        for record in sound_records(reader, call.indexes[start : start + _READ_ENTRIES]).values():
            size += len(record)
            if entries and size > FETCH_BYTES_MAX:
                return FetchedEntries(commit_index, tuple(entries))
            entries.append(entry_of_verified(record))
    return FetchedEntries(commit_index, tuple(entries))


def why_refused(terms: Terms, entry: Entry, commit_index: int) -> str:
    """Return why a fetched entry is not the one that is lacking here; "" if it is.

    `commit_index`: what the member that sent it knows to be committed.
    """
    if entry.index > terms.base_index:
        term = terms.term_of(entry.index)
        return "" if term and entry.term == term else f"its term is {entry.term}, and this log has term {term} there"
    if entry.index > commit_index:
        return f"that member knows only index {commit_index} to be committed"
    low, high = terms.term_bounds(entry.index)
    if not low <= entry.term <= high:
        return f"its term is {entry.term}, and those of its neighbours are {low} and {high}"
    return ""


class Fetcher:
    """Asks the other members.  Any thread."""

    def __init__(self, node_lock: NodeLock, own: OwnIdentity, addresses: Addresses, terms: Terms) -> None:
        self._node_lock = node_lock
        self._own = own
        self._addresses = addresses
        self._terms = terms
        self._refused: tuple[int, str] = (0, "")  # the member, and why its entry was refused, as last logged

    def members(self) -> list[Member]:
        """Return the other members: first the leader, then those that were in contact last."""
        return self._node_lock.read(self._others_locked)

    def _others_locked(self, node: Node) -> list[Member]:
        others = [member for member in node.configuration.members.values() if member.id != self._own.id]

        def silent_ms(member: Member) -> float:
            progress = node.progress.get(member.id) if node.role is Role.LEADER else None
            return node.clock_ms - progress.contact_ms if progress is not None else float(member.id != node.leader_id)

        return sorted(others, key=silent_ms)

    def fetch(self, member: Member, indexes: Sequence[int]) -> Iterator[Entry]:
        """Yield those of these ascending entries that the member has and that may be believed.

        Raises InvalidMessage or RefusedPeer: the member cannot be asked, or does not know the call, or does not know
        yet that an entry is committed.
        """
        left, early = list(indexes), 0
        try:
            with closing(PeerConnection(member.url, self._addresses, member.id)) as connection:
                while left:
                    asked = left[:FETCH_INDEXES_MAX]
                    answer = self._ask(connection, member.id, asked)
                    wanted = set(asked)
                    for entry in answer.entries:
                        if entry.index not in wanted:
                            continue
                        if self._is_believed(member.id, entry, answer.commit_index):
                            yield entry
                        elif entry.index > answer.commit_index:
                            early = entry.index
                    last = max((entry.index for entry in answer.entries if entry.index in wanted), default=asked[-1])
                    left = [index for index in left if index > last]
        except (OSError, ValueError) as error:  # the latter: not a URL
            raise RefusedPeer("not_ready", f"member {member.id} at {member.url} is not reachable: {error}") from None
        if early and early <= self._terms.base_index:
            raise RefusedPeer("not_ready", f"member {member.id} does not know yet that entry {early} is committed")

    def _ask(self, connection: PeerConnection, member: int, indexes: Sequence[int]) -> FetchedEntries:
        call = FetchEntries(self._own.id, member, tuple(indexes))
        status, body = connection.call(encode(self._own.sender(), call), CALL_TIMEOUT_S)
        if status != HTTPStatus.OK:
            raise self._own.refused(member, body)
        sender, answer = decode_answer(body, connection.proved)
        try:
            check_sender(sender, self._own.sender().cluster_id, *self._node_lock.read(configurations))
        except OlderCopy as error:
            self._own.older_copies.note(error)
            raise
        if sender.id != member or not isinstance(answer, FetchedEntries):
            raise RefusedPeer("unknown_member", f"member {member} sent an answer to another call")
        return answer

    def _is_believed(self, member: int, entry: Entry, commit_index: int) -> bool:
        why = why_refused(self._terms, entry, commit_index)
        if why and self._refused != (member, why):
            self._refused = member, why
            logger.warning("refused entry %d of member %d for a repair: %s", entry.index, member, why)
        return not why
