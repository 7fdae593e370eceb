"""The way to the other members: two lanes each, made when there is something to say, dropped when they have left.

Also a candidate's way to voters.  An answer goes back into the Node; an append that got lost is reported to it.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import replace

from raft.admission import check_sender
from raft.door import Door
from raft.errors import DiskFailed, InvalidMessage, RefusedPeer, StartRefused
from raft.membership import Configuration, Member
from raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Message,
    Request,
    RequestVote,
    RequestVoteReply,
    Sender,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.node import Node, Role
from raft.records import entry_of_verified
from raft.storage import Storage
from raft.transport import Lane
from raft.wire import Answer, decode_answer, encode

logger = logging.getLogger(__name__)

APPEND_TIMEOUTS = 4  # how many election timeouts a follower's disk may take before the append is sent again


class Peers:
    """`sender()` says who this member is; `on_removed(why)` is called when a member says that this one was removed."""

    def __init__(
        self,
        door: Door,
        storage: Storage,
        sender: Callable[[], Sender],
        on_removed: Callable[[str], None],
        *,
        election_timeout_ms: float,
        append_bytes_max: int,
    ) -> None:
        self._door = door
        self._storage = storage
        self._sender = sender
        self._on_removed = on_removed
        self._timeout_s = election_timeout_ms / 1000
        self._append_bytes_max = append_bytes_max
        self._lanes: dict[tuple[int, bool], Lane] = {}  # by (member, urgent); under the engine's lock
        self._unreachable: set[int] = set()
        self._closed = False

    def send_locked(self, configuration: Configuration, message: Message) -> None:
        """Give `message` to its target's lane.  A member that has left is still told so on the lane it had."""
        urgent = not isinstance(message, AppendEntries) or message.heartbeat
        member, lane = configuration.members.get(message.target), self._lanes.get((message.target, urgent))
        if member is not None and (lane is None or lane.url != member.url):
            lane = self._replace_locked(lane, member, urgent)
        if lane is not None:
            lane.send(message)

    def _replace_locked(self, old: Lane | None, member: Member, urgent: bool) -> Lane | None:
        if old is not None:
            old.close()
        if self._closed:
            return None
        name = f"raft-{'urgent' if urgent else 'append'}-{member.id}"
        try:
            lane = Lane(member.url, name, self._deliver)
        except RuntimeError as error:  # no thread is to be had: the message is lost, as on a network
            self._say_unreachable(member.id, member.url, error)
            return None
        self._lanes[member.id, urgent] = lane
        return lane

    def drop_idle(self) -> None:
        """Close the lanes of members that have left and been told so."""

        def take_idle(node: Node) -> list[Lane]:
            in_use = {*node.configuration.members, *node.progress}
            return [self._lanes.pop(key) for key in list(self._lanes) if key[0] not in in_use]

        for lane in self._door.look(take_idle):
            lane.close()

    def close(self) -> None:
        """Close all lanes."""
        self._closed = True
        for lane in self._door.look(lambda node: list(self._lanes.values())):
            lane.close()

    # In a lane's thread

    def _deliver(self, lane: Lane, message: Message) -> None:
        assert isinstance(message, AppendEntries | RequestVote | TimeoutNow)
        appends = isinstance(message, AppendEntries) and not message.heartbeat
        try:
            loaded = self._load(message)
            if loaded is not None:
                self._call(lane, loaded, self._timeout_s * (APPEND_TIMEOUTS if appends else 1))
        except (DiskFailed, StartRefused) as error:  # the own log could not be read, or is not what was written
            self._door.on_broken(error)
        except (OSError, LookupError, InvalidMessage, RefusedPeer) as error:
            self._say_unreachable(message.target, lane.url, error)
            if appends:
                self._door.enter(lambda node: node.unreachable(message.target))

    def _load(self, message: Request) -> Request | None:
        """Fill in entries that left memory; None where this member has stopped leading.

        A leader never changes its own log (Raft §5.3), so if it leads after the reading they are the right ones.
        """
        if not isinstance(message, AppendEntries) or message.entries is not None:
            return message
        records = self._storage.read(message.prev_log_index + 1, message.last_index, self._append_bytes_max)
        entries = tuple(entry_of_verified(record) for record in records)
        term = message.term
        leads = self._door.look(lambda node: node.role is Role.LEADER and node.current_term == term)
        return replace(message, entries=entries) if leads else None

    def _call(self, lane: Lane, message: Request, timeout_s: float) -> None:
        status, body = lane.connection.call(encode(self._sender(), message), timeout_s)
        if status != 200:
            raise ConnectionError(self._take_refusal(message.target, body))
        sender, reply = decode_answer(body)
        self._take_reply(message.target, sender, reply)
        if message.target in self._unreachable:
            self._unreachable.discard(message.target)
            logger.info("member %d is reachable", message.target)

    def _take_reply(self, member: int, sender: Sender, reply: Answer) -> None:
        if not isinstance(reply, AppendEntriesReply | RequestVoteReply | TimeoutNowReply) or reply.source != member:
            raise InvalidMessage(f"member {member} answered something else than asked")

        def act(node: Node) -> None:
            check_sender(sender, self._sender().cluster_id, node.committed_configuration)
            node.identified(member, sender.incarnation, sender.advertise, sender.level)
            node.step(reply)

        self._door.enter(act)

    def _say_unreachable(self, member: int, url: str, error: Exception) -> None:
        if member not in self._unreachable and not self._closed:
            self._unreachable.add(member)
            logger.warning("member %d at %s is not reachable: %s", member, url, error)

    def _take_refusal(self, member: int, body: bytes) -> str:
        code, detail, cluster_id = read_refusal(body)
        if code == "removed" and cluster_id == self._sender().cluster_id:
            self._on_removed(f"it was removed from the cluster while it was away, as member {member} says")
        return detail


def read_refusal(body: bytes) -> tuple[str, str, str]:
    """(code, detail, cluster id) of an error that endpoint.py sent."""
    try:
        problem = json.loads(body)
        return str(problem["code"]), str(problem["detail"]), str(problem.get("cluster_id", ""))
    except (ValueError, KeyError, TypeError):
        return "", "an answer that cannot be read", ""
