"""The bootstrap of a member without a cluster: it creates one with the others of --cluster, or it joins one.

Creation.  A member writes down its founders once every listed member answers, has no cluster, and was started with the
same list.  The founders are the listed members with the incarnations that it saw.  From then on the member is not new
any more, and a wiped directory under an old id differs from the founder it replaced.  A member that finds another one
with founders adopts those founders, if it is one of them.  The founders' ids and URLs are the same on all, so whatever
two members write down, their majorities overlap.

Joining (--join).  A member of the cluster has to know this id, without an incarnation or with this very one; and this
program has to have the cluster's level.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from raft.errors import DiskFull, InvalidMessage, RefusedPeer, StartRefused
from raft.rpc.calls import Hello, HelloReply, Sender
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.codec import decode_answer, encode
from raft.rpc.peer_auth import check_level, read_refusal
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import HTTP_OK, UNPROVED, Addresses, PeerConnection, ProofRefused
from raft.storage.identity import Founder, Identity

logger = logging.getLogger(__name__)

ASK_EVERY_S = 0.2
ANSWER_TIMEOUT_S = 1.0


class Bootstrap:
    """Asks the listed members until this member's identity names its cluster.  One thread runs it."""

    def __init__(
        self,
        identity: Identity,
        listed: Mapping[int, str],
        *,
        join: bool,
        advertise: str,
        level: int,
        save: Callable[[Identity], None],
        secret: ClusterSecret | None = None,
        certificates: PeerCertificates | None = None,
    ) -> None:
        """`listed`: id -> URL of --cluster.  `level`: of this program.  `save` makes an identity durable.

        `secret`: the cluster's, which the others have to prove.  `certificates`: of peers, to connect with.
        """
        self.identity = identity
        self.listed = dict(listed)
        self.waiting_for = "waiting for the other members"
        self._join = join
        self._advertise = advertise
        self._level = level
        self._save = save
        addresses = Addresses(secret=secret, certificates=certificates)
        self._connections = {
            id: PeerConnection(url, addresses, id) for id, url in self.listed.items() if id != identity.id
        }
        self._warned: dict[int, str] = {}  # by the member that it is about, 0: the cluster; the last warning

    @property
    def is_done(self) -> bool:
        """Return whether the identity names its founders or its cluster."""
        return bool(self.identity.founders or self.identity.cluster_id)

    def sender(self) -> Sender:
        """Return this member's description for calls and answers."""
        identity = self.identity
        boots = identity.boots
        return Sender(identity.id, identity.incarnation, identity.cluster_id, self._advertise, self._level, boots)

    def hello(self) -> HelloReply:
        """Answer a Hello.  Raises RefusedPeer: bootstrap is done, and this member is about to start."""
        if self.is_done:
            raise RefusedPeer("not_ready", f"member {self.identity.id} is starting")
        return HelloReply(self.listed, {}, ())

    def run(self, stopped: threading.Event) -> bool:
        """Ask until done; return False if `stopped` came first.  Raises StartRefused."""
        try:
            while not stopped.is_set():
                answers = {id: self._ask(id) for id in self._connections}
                identity = self._joined(answers) if self._join else self._founded(answers)
                if identity is not None and self._keep(identity):
                    return True
                stopped.wait(ASK_EVERY_S)
            return False
        finally:
            for connection in self._connections.values():
                connection.close()

    def _keep(self, identity: Identity) -> bool:
        """Save the identity; return False if the disk is full, so that it is retried."""
        try:
            self._save(identity)
        except DiskFull as error:
            self._warn_once(str(error))
            return False
        self.identity = identity
        return True

    def _ask(self, id: int) -> tuple[Sender, HelloReply] | None:
        try:
            body = encode(self.sender(), Hello(self.identity.id, id))
            status, answer = self._connections[id].call(body, ANSWER_TIMEOUT_S)
            if status != HTTP_OK and read_refusal(answer)[0] in (UNPROVED, "removed"):
                raise ProofRefused(read_refusal(answer)[1])
            sender, reply = decode_answer(answer, self._connections[id].proved)
        except ProofRefused as refused:
            self._warn_once(f"member {id} at {self.listed[id]} is not reachable: {refused}", id)
            return None
        except (OSError, InvalidMessage):
            return None
        if status != 200 or not isinstance(reply, HelloReply):
            return None
        if sender.id != id:
            self._warn_once(
                f"member {sender.id} answers at {self.listed[id]}, which --cluster gives to member {id}", id
            )
            return None
        return sender, reply

    def _warn_once(self, text: str, about: int = 0) -> None:
        """Log a text about a member, or about the cluster, when it changes: all are asked several times a second."""
        self.waiting_for = text
        if self._warned.get(about) != text:
            self._warned[about] = text
            logger.warning("%s", text)

    # Creation

    def _founded(self, answers: Mapping[int, tuple[Sender, HelloReply] | None]) -> Identity | None:
        for id, answer in answers.items():
            if answer is not None and answer[1].members:
                return self._founded_with(id, *answer, answers)
        for id, answer in answers.items():
            if answer is not None and answer[1].listed != self.listed:
                self._warn_once(
                    f"member {id} was started with another --cluster ({_listing(answer[1].listed)}) than this member "
                    f"({_listing(self.listed)}); nothing is created until they are the same"
                )
                return None
        missing = [id for id, answer in answers.items() if answer is None]
        if missing:
            self._warn_once("waiting for " + " and ".join(f"member {id}" for id in missing) + " to create the cluster")
            return None
        return replace(self.identity, founders=self._seen(answers))

    def _seen(self, answers: Mapping[int, tuple[Sender, HelloReply] | None]) -> dict[int, Founder]:
        own = Founder(self.listed[self.identity.id], self.identity.incarnation, self._advertise, self._level)
        founders = {self.identity.id: own}
        for id, answer in answers.items():
            if answer is not None:
                founders[id] = Founder(self.listed[id], answer[0].incarnation, answer[0].advertise, answer[0].level)
        return dict(sorted(founders.items()))

    def _founded_with(
        self, id: int, sender: Sender, reply: HelloReply, answers: Mapping[int, tuple[Sender, HelloReply] | None]
    ) -> Identity | None:
        """Follow member `id`, which is a founder with this member, or belongs to a cluster that is older."""
        self._refuse_if_replaced(sender, reply)
        if self.identity.id not in reply.members or not reply.members[self.identity.id]:
            raise StartRefused(
                f"member {id} belongs to a cluster already ({_cluster(sender)}); to add this member: POST its URL to "
                f"/raft/{self.identity.id} of a member, and start it with --join"
            )
        if sender.cluster_id:  # the cluster began without this founder, and never counted on its disk
            return replace(self.identity, cluster_id=sender.cluster_id)
        if reply.listed != self.listed:
            raise StartRefused(f"member {id} has created the cluster with another --cluster: {_listing(reply.listed)}")
        seen = self._seen(answers)
        founders = {
            other: replace(seen.get(other, Founder(self.listed[other], "", "")), incarnation=incarnation)
            for other, incarnation in reply.members.items()
            if other in self.listed
        }
        return replace(self.identity, founders=founders)

    def _refuse_if_replaced(self, sender: Sender, reply: HelloReply) -> None:
        check_level(reply.level, self._level)
        own = self.identity.id
        if own in reply.removed:
            raise StartRefused(
                f"member {own} was removed from {_cluster(sender)}; choose a new id, since ids are never used again"
            )
        known = reply.members.get(own, "")
        if known and known != self.identity.incarnation:
            raise StartRefused(
                f"this data directory is new, but {_cluster(sender)} knows member {own} with another data directory: "
                f"use that one, or remove member {own} (DELETE /raft/{own}) and add a new id"
            )

    # Joining

    def _joined(self, answers: Mapping[int, tuple[Sender, HelloReply] | None]) -> Identity | None:
        found = [answer for answer in answers.values() if answer is not None and answer[0].cluster_id]
        for sender, reply in found:
            self._refuse_if_replaced(sender, reply)
            if self.identity.id in reply.members:
                return replace(self.identity, cluster_id=sender.cluster_id, joining=True)
        own = self.identity.id
        if found:
            self._warn_once(
                f"waiting to be added: POST this member's URL, {self.listed[own]}, to /raft/{own} of a member"
            )
        else:
            self._warn_once("waiting for an answer from a member of the cluster to join")
        return None


def _listing(listed: Mapping[int, str]) -> str:
    return ",".join(f"{id}={url}" for id, url in sorted(listed.items()))


def _cluster(sender: Sender) -> str:
    return f"cluster {sender.cluster_id}" if sender.cluster_id else f"the cluster that member {sender.id} is creating"
