"""The membership that a node finds in its log at a start, and its own URL there."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from raft.core.configuration import Configuration, decode_configuration
from raft.core.configuration import Member as Described
from raft.core.entries import RECORD_BYTES_MAX
from raft.core.raft_messages import Entry, SnapshotMeta
from raft.errors import InvalidMessage, StartRefused
from raft.rpc.peer_auth import check_level
from raft.storage.identity import Identity
from raft.storage.log_store import Storage

logger = logging.getLogger(__name__)


def configurations(
    identity: Identity, base: SnapshotMeta | None, entries: Iterable[Entry]
) -> list[tuple[int, Configuration]]:
    """Return the configurations of a log by their indexes; the founders are the first.  Raises InvalidMessage.

    `base`: of the log's snapshot.  `entries`: the configurations above it.
    """
    if base is None:
        founders = {
            id: Described(id, founder.url, True, False, founder.incarnation, founder.advertise, founder.level)
            for id, founder in identity.founders.items()
        }
        first = (0, Configuration(founders).raised())
    else:
        first = (base.configuration_index, decode_configuration(base.configuration))
    return [first, *((entry.index, decode_configuration(entry.body)) for entry in entries)]


def stored_membership(
    data_dir: Path, level: int, identity: Identity, base: SnapshotMeta | None, entries: Iterable[Entry]
) -> Configuration:
    """Return the members according to the log.  Raises StartRefused if a program of this level cannot read the log."""
    try:
        _, newest = configurations(identity, base, entries)[-1]
    except InvalidMessage as error:
        raise StartRefused(f"the log in {data_dir} holds {error}; start what wrote it") from None
    check_level(newest.level, level)
    return newest


def refuse_lost_state(id: int, stored: Configuration, storage: Storage) -> None:
    """Refuse the start of a node alone in its cluster if what its state needs is lost.  Raises CorruptLog.

    A node of several asks the other members for an entry; one that is not the only voter takes the leader's snapshot.
    """
    recovered = storage.recovered
    if recovered.needs_snapshot and recovered.base_damage is not None and stored.voters == (id,):
        raise recovered.base_damage
    if set(stored.members) - {id}:
        return
    document = storage.documents(storage.last_index)
    applied = document.meta.index if document is not None else 0
    for index, _ in storage.holes():
        if index > applied:
            storage.reader.read(index, index, RECORD_BYTES_MAX)


def own_url(id: int, given: Mapping[int, str], stored: Configuration) -> str:
    """Return the URL of this node according to its log; "" if it has none.  `given`: the URLs of --cluster."""
    known = {member_id: member.url for member_id, member in stored.members.items()}
    if known and known != given:
        listed = ",".join(f"{member_id}={url}" for member_id, url in sorted(known.items()))
        logger.warning("--cluster is ignored, because it differs from the stored membership: %s", listed)
    own = known.get(id, "")
    if own and own != given[id]:
        logger.warning(
            "peers look for this node at %s until PUT /raft/%d moves it; it listens there and at %s",
            own, id, given[id],
        )  # fmt: skip
    return own
