"""What a member is asked by the others, as `raft/rpc/endpoint.py` and `raft/cluster/member.py` serve it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from raft.core.boots import is_of_older_copy
from raft.core.raft_messages import InstallSnapshot, Reply, Request
from raft.engine.node_lock import configurations
from raft.engine.snapshot_transfer import IncomingSnapshots
from raft.errors import (
    DiskFull,
    Diverged,
    InvalidMessage,
    NotLeader,
    OlderCopy,
    Overloaded,
    RefusedPeer,
    Unavailable,
)
from raft.rpc.calls import (
    FetchEntries,
    Hello,
    HelloReply,
    Notice,
    NoticeReply,
    Propose,
    ProposeReply,
    ReadIndex,
    ReadIndexReply,
    RecordedBoot,
    Sender,
    SnapshotChunk,
    SnapshotChunkReply,
    WantSnapshot,
    WantSnapshotReply,
)
from raft.rpc.codec import Answer, Call
from raft.rpc.peer_auth import check_sender
from tests.simulation.invariants import Violation

if TYPE_CHECKING:
    from tests.simulation.process import Process

Respond = Callable[[Answer | RefusedPeer], None]


class Endpoint:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._incoming_snapshots = IncomingSnapshots(process.storage)
        self._requests: dict[int, Respond] = {}  # that wait for the Node's reply

    def answer(self, reply: Reply) -> None:
        """The Node has replied."""
        respond = self._requests.pop(reply.request, None)
        if respond is not None:
            respond(reply)

    def serve(self, request: int, sender: Sender, call: Call, respond: Respond) -> None:
        """An RPC has arrived."""
        process = self._process
        if isinstance(call, Hello):
            committed = process.node.committed_configuration
            respond(HelloReply({}, {}, tuple(sorted(committed.removed)), committed.level))
            return
        try:
            check_sender(sender, process.sender.cluster_id, *configurations(process.node))
        except RefusedPeer as error:
            if isinstance(error, OlderCopy):
                process.world.invariants.refused_as_older(sender)
            respond(error)
            return
        process.world.invariants.believed(process.node, sender)
        if isinstance(call, RecordedBoot):
            if is_of_older_copy(process.sender.boots, call.boot):
                process.end_older(f"member {call.source} says so")
            return
        if isinstance(call, Notice):
            respond(NoticeReply(process.wall_us, process.digests.report()))
        elif isinstance(call, Propose):
            respond(self._serve_propose(call))
        elif isinstance(call, ReadIndex):
            process.forwarding.read_for_peer(call, lambda index: respond(ReadIndexReply(index)))
        elif isinstance(call, WantSnapshot):
            with suppress(NotLeader):
                process.enter(process.node.want_snapshot, call.source, call.above)
                process.housekeeping.want(call.above)
            respond(WantSnapshotReply(True))
        elif isinstance(call, SnapshotChunk):
            self._take_chunk(call, respond)
        elif isinstance(call, FetchEntries):
            assert process.healing is not None
            respond(process.healing.serve(call))
        else:
            assert isinstance(call, Request)
            self._requests[request] = respond
            try:
                if isinstance(call, InstallSnapshot):
                    self._install(replace(call, request=request))
                else:
                    process.enter(process.node.step, replace(call, request=request))
            except Diverged as error:
                respond(RefusedPeer("diverged", str(error)))
                process.end_older(str(error))
            except InvalidMessage as error:
                raise Violation("believable", f"member {process.id} does not believe {call}: {error}") from error

    def _take_chunk(self, chunk: SnapshotChunk, respond: Respond) -> None:
        node, index = self._process.node, chunk.last_included_index
        if node.holds(index, chunk.last_included_term) and not node.awaits_snapshot(index):
            respond(SnapshotChunkReply(chunk.bytes_total))
            return
        self._process.world.counts["snapshot chunks"] += bool(chunk.lines)
        try:
            respond(self._incoming_snapshots.take(self._process.world.damaged(chunk)))
        except RefusedPeer as error:
            respond(error)
        except InvalidMessage as error:
            respond(RefusedPeer("invalid", str(error)))

    def _install(self, call: InstallSnapshot) -> None:
        snapshot = call.snapshot
        lacks = not self._process.node.holds(snapshot.index, snapshot.term)
        is_awaited = self._process.node.awaits_snapshot(snapshot.index)
        received = (lacks or is_awaited) and self._incoming_snapshots.complete(call.source, snapshot)
        if received and not lacks:
            received = self._process.digests.set_aside.place(snapshot)
        self._process.enter(self._process.node.step, replace(call, received=received))
        if received:
            self._incoming_snapshots.settled(snapshot, self._process.node.snapshot == snapshot)

    def _serve_propose(self, call: Propose) -> ProposeReply:
        try:
            self._process.forwarding.propose_to_node(call.proposals)
        except NotLeader as error:
            return ProposeReply(False, error.leader)
        except (Overloaded, Unavailable):
            return ProposeReply(False, self._process.id)
        except DiskFull:
            return ProposeReply(False, self._process.id, full=True)
        return ProposeReply(True, self._process.id)
