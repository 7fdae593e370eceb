"""The check of a peer's identity: it must be a member of this cluster, as the process that the cluster knows.

A wiped disk under an old id has forgotten its votes and its acknowledgements.  It must not be counted, neither as a
voter nor as a holder of entries.  So every RPC and every answer names its sender, and is refused if the committed
configuration knows that id by another incarnation.

A member on an older copy of its data directory is refused too, because it has forgotten a part of them: boots.py has
the rules.  The newest configuration in the log here decides, committed or not.  If the member made a call, it gets the
refusal.  If it answered one, it gets a RecordedBoot, because perhaps no other member will tell it.

A program that cannot read all that the log may hold is refused too.  It learns this as early as possible: before it
joins, at its start, or from the configuration that comes before the first entry that it cannot read.
"""

import json
import logging

from raft.core.boots import is_of_older_copy
from raft.core.configuration import Configuration
from raft.errors import OlderCopy, RefusedPeer, StartRefused
from raft.rpc.calls import Sender

logger = logging.getLogger(__name__)

DETAIL_POINTS_MAX = 500  # of a refusal's text in the log


def check_sender(sender: Sender, own_cluster_id: str, committed: Configuration, newest: Configuration) -> None:
    """Refuse a sender that is not the member it claims to be.  Raises RefusedPeer.

    `newest`: the configuration in force, committed or not.  A sender whose id, or whose incarnation, is not known here
    may still call if it names this cluster: the entry that added it may not have arrived here.
    """
    same_cluster = bool(own_cluster_id) and sender.cluster_id == own_cluster_id
    if own_cluster_id and sender.cluster_id and not same_cluster:
        raise RefusedPeer(
            "other_cluster", f"member {sender.id} belongs to cluster {sender.cluster_id}, this is {own_cluster_id}"
        )
    if sender.id in committed.removed:
        raise RefusedPeer("removed", f"member {sender.id} was removed from cluster {own_cluster_id}")
    member = committed.members.get(sender.id)
    known = member.incarnation if member is not None else ""
    if known and known != sender.incarnation:
        raise RefusedPeer(
            "other_incarnation",
            f"member {sender.id} was known with another data directory: start it with that one, or remove it and "
            "add a new node with a new id",
        )
    check_boots(sender.id, sender.boots, newest)
    if sender.level < committed.level:
        raise RefusedPeer(
            "old_level",
            f"member {sender.id} knows level {sender.level}, and this cluster uses level {committed.level}: "
            "start a newer raft-chat there",
        )
    if not known and not same_cluster:
        raise RefusedPeer("unknown_member", f"member {sender.id} is not known here")


def check_boots(id: int, boots: tuple[int, ...], newest: Configuration) -> None:
    """Refuse a directory with these boots if member `id` has a later start recorded.  Raises OlderCopy."""
    member = newest.members.get(id)
    if member is not None and is_of_older_copy(boots, member.boot):
        raise OlderCopy(
            id,
            member.boot,
            f"member {id} runs on an older copy of its data directory, which lacks its start {member.boot}: "
            f"its votes and acknowledgements do not count; remove member {id} and add a new id",
        )


def read_refusal(body: bytes) -> tuple[str, str, str]:
    """Return (code, detail, cluster id) of an error that endpoint.py sent."""
    try:
        problem = json.loads(body)
        return str(problem["code"]), str(problem["detail"])[:DETAIL_POINTS_MAX], str(problem.get("cluster_id", ""))
    except (ValueError, KeyError, TypeError):
        return "", "an answer that cannot be read", ""


class OlderCopies:
    """Logs which members run on older copies: one line for each start of such a member."""

    def __init__(self) -> None:
        self._logged: dict[int, str] = {}  # by member; only of those in a configuration

    def note(self, error: OlderCopy) -> None:
        """Log that a member was refused; any thread, under no lock."""
        if self._logged.get(error.member) != str(error):
            self._logged[error.member] = str(error)
            logger.error("%s", error)


def cluster_named_by(sender: Sender, own_cluster_id: str, committed: Configuration) -> str:
    """Return the ClusterId to use after an answer from `sender`: the own one, or that of a member known by incarnation.

    "" if neither has one.  A founder that was down since the cluster began knows the other founders, but not the
    ClusterId that they have committed.  Without the ClusterId it would believe no member that joined later: neither
    that this one leads, nor that the founder was removed.
    """
    member = committed.members.get(sender.id)
    known = member is not None and bool(member.incarnation) and member.incarnation == sender.incarnation
    return own_cluster_id or (sender.cluster_id if known else "")


def check_level(cluster_level: int, own_level: int) -> None:
    """Refuse a program whose level is below the cluster's.  Raises StartRefused."""
    if own_level < cluster_level:
        raise StartRefused(
            f"this raft-chat knows level {own_level}, and its cluster uses level {cluster_level}: start a newer one"
        )
