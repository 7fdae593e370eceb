"""Changes that operators ask for: membership, promotions, the clock, and the transfer of leadership.

A request goes to the leader, whichever member the client reached, and is answered once this member sees the change
done.  A leader never forwards one.  The caller has a thread to wait in.  A request that is repeated after a lost
answer is no error: it asks for what is already so.
"""

import threading
import time
from collections.abc import Callable

from raft.core.configuration import AddMember, Change, Configuration, MoveMember, PlanPromotion, RemoveMember
from raft.core.node import Node, Role
from raft.core.urls import is_local_url
from raft.engine.applier import Applier
from raft.engine.clocks import Clocks, accept_clock, settle, stamp
from raft.engine.leader_client import LeaderClient
from raft.engine.node_lock import NodeLock
from raft.errors import ChangeRefused, InvalidMessage, NotLeader, OutcomeUnknown, Unavailable
from raft.rpc.calls import AcceptClock, ChangeMembership, ChangeMembershipReply, TransferLeadership
from raft.rpc.codec import Call
from raft.rpc.peer_client import parse_peer_url

CHANGE_TIMEOUT_S = 4.5  # clients are promised an answer within 5 s
CHANGE_PATIENCE_S = 2.0  # another change is usually done in milliseconds
TRANSFER_TIMEOUTS = 4  # election timeouts: one until the leader gives it up, and an election
UNGUARDED = (
    "nodes of this cluster prove nothing to each other, so whoever reaches a peer port owns it. Start its nodes with "
    "--cluster-secret-file or --peer-cert, or with --insecure-peers where the network is all yours."
)
POLL_S = 0.01  # between two checks of a condition


class Administration:
    """The changes that this member's clients ask for, and those that other members forward to it."""

    def __init__(
        self,
        id: int,
        node_lock: NodeLock,
        applier: Applier,
        new_leader: Callable[[], LeaderClient],
        stopping: threading.Event,
        clocks: Clocks,
        *,
        election_timeout_s: float,
        is_guarded: bool = True,
    ) -> None:
        """`new_leader` makes a client of the leader for one thread; once `stopping` is set, all waiting ends.

        `is_guarded`: nodes may talk to each other over a network, as at a start.
        """
        self._id = id
        self._node_lock = node_lock
        self._applier = applier
        self._new_leader = new_leader
        self._stopping = stopping
        self._clocks = clocks
        self._is_guarded = is_guarded
        self._given_up = False
        self._transfer_s = min(TRANSFER_TIMEOUTS * election_timeout_s, CHANGE_TIMEOUT_S)

    def give_up(self) -> None:
        """Answer those who wait as if this member were stopped."""
        self._given_up = True

    # For this member's clients

    def change(self, change: Change) -> None:
        """Change the membership; return once the change is committed and applied here, a promotion once the member
        votes.

        Raises ChangeRefused, Unavailable (nothing was proposed) or OutcomeUnknown.
        """
        self._check_guarded(change)
        deadline_s = time.monotonic() + CHANGE_TIMEOUT_S
        url, voting = getattr(change, "url", ""), getattr(change, "voting", False)
        reply = self._ask(
            lambda leader_id: ChangeMembership(self._id, leader_id, type(change).__name__, change.id, url, voting),
            lambda: self._append(change),
        )
        self._await_applied(reply, deadline_s)
        if isinstance(change, PlanPromotion):
            self._await_vote(change.id, deadline_s)

    def _check_guarded(self, change: Change) -> None:
        """Raises ChangeRefused: other machines reach the URL, and nodes prove nothing to each other."""
        url = getattr(change, "url", "")
        if url and not self._is_guarded and not is_local_url(url):
            raise ChangeRefused("invalid", f"Url: {url} is on another machine, and {UNGUARDED}")

    def accept_clock(self) -> None:
        """Set the log's time to the clock's; return once that is committed and applied here.

        Raises ChangeRefused (the nodes' clocks differ), Unavailable (nothing was proposed) or OutcomeUnknown.
        """
        deadline_s = time.monotonic() + CHANGE_TIMEOUT_S
        reply = self._ask(lambda leader_id: AcceptClock(self._id, leader_id), self._accept_clock)
        self._await_applied(reply, deadline_s)
        self._node_lock.read(lambda node: settle(self._clocks, node))  # before the next tick does

    def _await_applied(self, reply: ChangeMembershipReply, deadline_s: float) -> None:
        if not self._applier.wait_applied(reply.index, max(deadline_s - time.monotonic(), 0.0)):
            raise OutcomeUnknown("no majority confirmed the change in time; it may still be committed")
        if reply.index and self._node_lock.read(lambda node: node.log.term_at(reply.index)) not in (reply.term, None):
            raise OutcomeUnknown("another leader took over during the change; GET /raft shows the result")

    def transfer(self, target: int) -> None:
        """Return once this member sees `target` lead.  Raises ChangeRefused, Unavailable or OutcomeUnknown."""
        if self._node_lock.leader_id == target:
            return
        self._ask(
            lambda leader_id: TransferLeadership(self._id, leader_id, target),
            lambda: self._begin_transfer(target),
        )
        if not self._await(lambda node: node.leader_id == target, time.monotonic() + self._transfer_s):
            leader_id = self._node_lock.leader_id
            leads = f"member {leader_id} leads" if leader_id else "nobody leads at this moment"
            raise ChangeRefused("not_taken_over", f"member {target} did not take over in time; {leads}")

    def _await_vote(self, id: int, deadline_s: float) -> None:
        def is_settled(node: Node) -> bool:
            member = node.committed_configuration.members.get(id)
            return member is None or member.voting

        if not self._await(is_settled, deadline_s):
            raise OutcomeUnknown(f"member {id} has not caught up yet; it will vote once it has caught up")
        if not self._node_lock.read(lambda node: node.committed_configuration.is_voter(id)):
            raise ChangeRefused("unknown_member", f"member {id} was removed before it voted")

    def _await(self, is_so: Callable[[Node], bool], deadline_s: float) -> bool:
        while not self._node_lock.read(is_so):
            if time.monotonic() >= deadline_s:
                return False
            if self._stopping.wait(POLL_S) or self._given_up:
                raise OutcomeUnknown("this member is shutting down; GET /raft of another member shows the result")
        return True

    # Of the leader

    def _ask(self, call_for: Callable[[int], Call], here: Callable[[], ChangeMembershipReply]) -> ChangeMembershipReply:
        """Return the leader's consent; retry for a while without a leader, or during another change."""
        began_s = time.monotonic()
        while True:
            leader_id = self._node_lock.leader_id
            reply = here() if leader_id in (0, self._id) else self._ask_there(leader_id, call_for(leader_id))
            waited_s = time.monotonic() - began_s
            if not reply.code:
                return reply
            if reply.code == "not_leader" and waited_s >= CHANGE_TIMEOUT_S:
                raise Unavailable("no leader with a majority can be reached; nothing was changed")
            if reply.code not in ("not_leader", "change_in_progress"):
                raise ChangeRefused(reply.code, reply.detail)
            if reply.code == "change_in_progress" and waited_s >= CHANGE_PATIENCE_S:
                raise ChangeRefused(reply.code, reply.detail)
            if self._stopping.wait(POLL_S) or self._given_up:
                raise Unavailable("this member is shutting down; nothing was changed")

    def _ask_there(self, leader_id: int, call: Call) -> ChangeMembershipReply:
        leader = self._new_leader()
        try:
            leader.open(leader_id)
        except OSError as error:
            return ChangeMembershipReply("not_leader", str(error), 0, 0)
        try:
            reply = leader.call(call)
        except OSError as error:
            raise OutcomeUnknown(f"the leader, member {leader_id}, did not answer: {error}") from None
        finally:
            leader.close()
        if not isinstance(reply, ChangeMembershipReply):
            raise OutcomeUnknown(f"the leader, member {leader_id}, sent an answer to another call")
        return reply

    # As the leader

    def serve_change(self, call: ChangeMembership) -> ChangeMembershipReply:
        """Append a change that another member forwards.  Raises InvalidMessage."""
        change = change_of(call)
        try:
            self._check_guarded(change)
        except ChangeRefused as refused:  # by this node's options, which are not those of the node that was asked
            return ChangeMembershipReply(refused.code, str(refused), 0, 0)
        return self._append(change)

    def serve_transfer(self, call: TransferLeadership) -> ChangeMembershipReply:
        """Begin a transfer that another member asks for."""
        return self._begin_transfer(call.id)

    def serve_accept_clock(self) -> ChangeMembershipReply:
        """Set the log's time to the clock's, as another member asks."""
        return self._accept_clock()

    def _accept_clock(self) -> ChangeMembershipReply:
        def action(node: Node) -> tuple[int, int]:
            return accept_clock(self._clocks, node), node.current_term

        return self._answered(lambda: self._node_lock.act(action))

    def _append(self, change: Change) -> ChangeMembershipReply:
        def action(node: Node) -> tuple[int, int]:
            if node.role is Role.LEADER and is_so_already(node.configuration, change):
                index = max(node.configuration_index, node.log.base_index)  # the term of a compacted entry is not known
                return index, node.log.term_at(index) or 0
            return node.change_membership(change, stamp(self._clocks, node)), node.current_term

        return self._answered(lambda: self._node_lock.act(action))

    def _begin_transfer(self, target: int) -> ChangeMembershipReply:
        def begin() -> tuple[int, int]:
            self._node_lock.act(lambda node: node.transfer_leadership(target))
            return 0, 0

        return self._answered(begin)

    @staticmethod
    def _answered(action: Callable[[], tuple[int, int]]) -> ChangeMembershipReply:
        """Return the (index, term) of `act` as a reply, or its refusal and the reason."""
        try:
            index, term = action()
        except (NotLeader, Unavailable) as unavailable:
            return ChangeMembershipReply("not_leader", str(unavailable), 0, 0)
        except ChangeRefused as refused:
            return ChangeMembershipReply(refused.code, str(refused), 0, 0)
        return ChangeMembershipReply("", "", index, term)


def change_of(call: ChangeMembership) -> Change:
    """Return the change that a follower forwards.  Raises InvalidMessage.

    A URL that cannot be called would stay in the log, and no member could go on after it.
    """
    if call.id < 1:
        raise InvalidMessage(f"id: {call.id} is not a member's id; ids count from 1")
    match call.change:
        case "AddMember":
            return AddMember(call.id, _callable(call.url), call.voting)
        case "RemoveMember":
            return RemoveMember(call.id)
        case "PlanPromotion":  # a vote is given by the leader itself, once the member has caught up
            return PlanPromotion(call.id)
        case "MoveMember":
            return MoveMember(call.id, _callable(call.url))
    raise InvalidMessage(f"change: {call.change!r} is not known here")


def _callable(url: str) -> str:
    try:
        parse_peer_url(url)
    except ValueError as error:
        raise InvalidMessage(f"url: {error}") from None
    return url


def is_so_already(configuration: Configuration, change: Change) -> bool:
    """Return whether `configuration` already has the result of `change`."""
    member = configuration.members.get(change.id)
    match change:
        case AddMember(_, url, voting):
            return member is not None and member.url == url and (member.voting or member.promote) == voting
        case MoveMember(_, url):
            return member is not None and member.url == url
        case RemoveMember(id):
            return id in configuration.removed
        case PlanPromotion():
            return member is not None and (member.voting or member.promote)
    return False
