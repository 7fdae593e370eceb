"""The identity of a running member: saved on its disk, told to the others, and followed as the log changes it.

Rules
- An identity is saved before anything that needs it goes on, except on a full disk: then later, for the log has the
  same news, and a start finds them again.
- A member that was removed, or runs on an older copy of its data directory, ends.  An older copy never starts again.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from raft.core.boots import is_of_older_copy, since_recorded
from raft.core.configuration import Configuration
from raft.engine.node_lock import NodeLock, configurations
from raft.errors import DiskFailed, DiskFull, Diverged, InvalidMessage, OlderCopy, RefusedPeer
from raft.rpc.calls import RecordedBoot, Sender
from raft.rpc.peer_auth import OlderCopies, check_boots, check_level, check_sender, cluster_named_by, read_refusal
from raft.storage.identity import Identity

logger = logging.getLogger(__name__)

ANSWERED_S = 0.3  # before the process ends: by then a refusal has reached the leader


class OwnIdentity:
    """The identity of this member.  For any thread."""

    def __init__(
        self,
        identity: Identity,
        *,
        advertise: str,
        level: int,
        node_lock: NodeLock,
        name_cluster: Callable[[str], None],
        save: Callable[[Identity], None],
        end: Callable[[str, int], None],
        stopping: threading.Event,
    ) -> None:
        """`name_cluster` is called with the ClusterId once it is saved; `end(why, exit code)` ends the member, once."""
        self.id = identity.id
        self.older_copies = OlderCopies()
        self._sender = Sender(
            identity.id, identity.incarnation, identity.cluster_id, advertise, level, identity.boots or (identity.boot,)
        )
        self._node_lock = node_lock
        self._name_cluster = name_cluster
        self._save = save
        self._end = end
        self._stopping = stopping
        self._lock = threading.Lock()  # around changes and their saving; innermost
        self._is_unsaved = False  # since the disk was full
        # Each answer asks for these two, so they are plain attributes: one call less, and no lock.
        self.cluster_id: str  # hex digits; "" until one is committed
        self.generation: str  # hex digits that change when a sole voter starts from a copy of its data; "" at first
        self._committed_generation = node_lock.read(lambda node: node.committed_configuration.generation)
        self._show_locked(identity)
        self._why_ending = ""  # once set, no call is admitted
        self._logged_members = "", ""  # of the last configuration

    def sender(self) -> Sender:
        """Return this member's description for calls and answers."""
        return self._sender

    def change(self, **changed: Any) -> None:
        """Save the identity with these fields changed.  Raises DiskFailed, but not if the disk is full."""
        with self._lock:
            identity = replace(self._identity, **changed)
            try:
                self._save(identity)
            except DiskFull as error:
                logger.error("%s; next try once there is room", error)
                self._is_unsaved = True
            else:
                self._is_unsaved = False
                self._name_cluster(identity.cluster_id)
            self._show_locked(identity)

    def _show_locked(self, identity: Identity) -> None:
        self._identity = identity
        self.cluster_id = identity.cluster_id
        self.generation = identity.generation or self._committed_generation

    def save_if_unsaved(self) -> None:
        """Save what did not fit on a full disk.  Raises DiskFailed."""
        if self._is_unsaved:
            self.change()

    # What the log says

    def follow(self, configuration: Configuration) -> None:
        """Take in an applied configuration.  Raises StartRefused: this program does not know the cluster's level."""
        check_level(configuration.level, self._sender.level)  # before an entry that needs the level is applied
        if configuration.cluster_id and configuration.cluster_id != self._identity.cluster_id:
            self.change(cluster_id=configuration.cluster_id, joining=False)
            self._sender = replace(self._sender, cluster_id=configuration.cluster_id)
        # In a start, the applied configuration may be older than the committed one.
        committed = self._node_lock.read(lambda node: node.committed_configuration)
        with self._lock:
            self._committed_generation = committed.generation
            self._show_locked(self._identity)
        if configuration.generation and configuration.generation == self._identity.generation:
            self.change(generation="")
        self._follow_recorded_boot(configuration)
        described = (f"{m.id} at {m.url}{'' if m.voting else ' (no vote)'}" for m in configuration.members.values())
        members = ", ".join(described)
        if (configuration.cluster_id, members) != self._logged_members:  # not for each recorded start of a member
            self._logged_members = configuration.cluster_id, members
            logger.info("cluster %s has the members %s", *self._logged_members)
        if self.id in configuration.removed:
            self._end("it was removed from the cluster", 0)

    def _follow_recorded_boot(self, configuration: Configuration) -> None:
        """Cut the list of boots at a committed one; end if the list lacks the committed one."""
        own = configuration.members.get(self.id)
        if own is None or not own.boot:
            return
        try:
            check_boots(self.id, self._sender.boots, configuration)
        except OlderCopy as error:
            self._end_old(f"{error}, as the log says")
            return
        if (boots := since_recorded(self._sender.boots, own.boot)) != self._sender.boots:
            with suppress(DiskFailed):  # the longer list is right too
                self.change(boots=boots)
            self._sender = replace(self._sender, boots=boots)

    # What the others say

    def heard(self, sender: Sender) -> None:
        """Note an answer's sender.  Kept in memory only: the log will have it, or another answer."""
        if not self._sender.cluster_id:
            committed = self._node_lock.read(lambda node: node.committed_configuration)
            self._sender = replace(self._sender, cluster_id=cluster_named_by(sender, "", committed))

    def refused(self, member: int, body: bytes) -> RefusedPeer:
        """Return the error for another member's refusal; some reasons end this member."""
        code, detail, cluster_id = read_refusal(body)
        if cluster_id == self._sender.cluster_id and code == "removed":
            self._end(f"it was removed from the cluster while it was down, as member {member} says", 0)
        elif cluster_id == self._sender.cluster_id and code == "older_copy":
            self._end_old(f"{detail}, as member {member} says")
        return RefusedPeer(code, detail)

    def admit(self, sender: Sender, target: int) -> None:
        """Refuse a call of `sender` to `target` that this member must not serve.  Raises RefusedPeer."""
        if target != self.id:
            raise RefusedPeer("unknown_member", f"this is member {self.id}, not member {target}")
        if self._why_ending:
            raise RefusedPeer("diverged", self._why_ending)
        try:
            check_sender(sender, self._sender.cluster_id, *self._node_lock.read(configurations))
        except OlderCopy as error:
            self.older_copies.note(error)
            raise

    def take_recorded_boot(self, call: RecordedBoot) -> None:
        """End if another member's news that this one is an older copy fits this member's own list of boots."""
        if not is_of_older_copy(self._sender.boots, call.boot):
            raise InvalidMessage(f"boot: {call.boot} is no start that this member lacks")
        why = f"member {self.id} runs on an older copy of its data directory, which lacks its start {call.boot}"
        self._end_old(f"{why}, as member {call.source} says; remove member {self.id} and add a new id")
        raise RefusedPeer("older_copy", why)

    # The end

    def end_diverged(self, error: Diverged) -> RefusedPeer:
        """End rather than undo durable entries; a member whose log is old never starts again.

        The leader is told why first: an operator looks at its log.
        """
        self._why_ending = str(error)

        def end() -> None:
            if error.log_is_old:
                self._note_refused(str(error))
            self._stopping.wait(ANSWERED_S)
            self._end(str(error), 1)

        threading.Thread(target=end, name="raft-end", daemon=True).start()
        return RefusedPeer("diverged", str(error))

    def _end_old(self, why: str) -> None:
        """End for good: this directory is an older copy, and is never started again."""
        self._note_refused(why)
        self._end(why, 1)

    def _note_refused(self, why: str) -> None:
        with suppress(DiskFailed):  # the next start finds the older copy again
            self.change(refused=why)
