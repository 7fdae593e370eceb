"""What a process asks the others beside the protocol, as `raft/engine/gossip.py` does: what time it is there."""

from functools import partial
from typing import TYPE_CHECKING

from raft.engine.node_lock import configurations
from raft.errors import OlderCopy, RefusedPeer
from raft.rpc.calls import Notice, NoticeReply
from raft.rpc.peer_auth import check_sender
from tests.simulation.network import Answered
from tests.simulation.truth import ANSWER_SIMULATED_S

if TYPE_CHECKING:
    from tests.simulation.process import Process

ASK_EVERY_MS = 150.0
TIMEOUT_MS = 300.0


class Notices:
    """Of one process."""

    def __init__(self, process: "Process") -> None:
        self.heard_ms: dict[int, float] = {}  # by member: when it last told its clock in time, by the observer's
        self.first_heard_ms: dict[int, float] = {}  # likewise, the first time
        self._process = process
        process.schedule(0, self._ask)

    def _ask(self) -> None:
        process = self._process
        process.schedule(ASK_EVERY_MS, self._ask)
        process.digests.look()
        for member in process.node.configuration.members:
            if member != process.id:
                done = partial(self._heard, member, process.now_s)
                process.world.network.ask(process, Notice(process.id, member, b""), TIMEOUT_MS, done, _nothing)

    def _heard(self, member: int, asked_s: float, answered: Answered) -> None:
        process, (sender, reply) = self._process, answered
        try:
            check_sender(sender, process.sender.cluster_id, *configurations(process.node))
        except OlderCopy as error:
            process.peers.tell_older(sender, error)
            return
        except RefusedPeer:
            return
        if isinstance(reply, RefusedPeer):
            process.peers.take_refusal(member, reply)
        if isinstance(reply, NoticeReply):
            process.clocks.heard(member, reply.time, asked_s)
            process.digests.heard(member, reply.report)
            if process.now_s - asked_s <= ANSWER_SIMULATED_S:
                self.heard_ms[member] = process.world.schedule.now_ms
                self.first_heard_ms.setdefault(member, process.world.schedule.now_ms)


def _nothing() -> None:
    pass
