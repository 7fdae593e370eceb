"""Calls between members: a request that may get lost, come late or come twice, and an answer that may as well.

A call is told its answer, or that it failed, once; in a world that is not tame an answer may also come after that, or
again, and goes to `late`: the engine has to bear it (`raft/core/node.py`, the last rule).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from raft.errors import RefusedPeer
from raft.rpc.calls import Propose, Sender
from raft.rpc.codec import Answer, Call, decode_answer, decode_call, encode
from tests.simulation.scenario import Scenario
from tests.simulation.schedule import Schedule

if TYPE_CHECKING:
    from tests.simulation.process import Process

Answered = tuple[Sender, Answer | RefusedPeer]  # who answers, and what
REFUSED_MS = 1.0  # what it takes to learn that nobody listens


@dataclass(slots=True, eq=False)
class Ask:
    """One call: who asks what, and where the outcome goes."""

    source: "Process"
    call: Call
    done: Callable[[Answered], None]
    failed: Callable[[], None]
    late: Callable[[Answered], object] | None
    open: bool = True


class Network:
    """Between the processes of `running`, by id."""

    def __init__(self, rng: Random, schedule: Schedule, scenario: Scenario, counts: Counter[str]) -> None:
        self.running: dict[int, Process] = {}
        self.cut: Counter[tuple[int, int]] = Counter()  # links that carry nothing now, and by how many faults
        self.shunned: set[int] = set()  # members that no client asks now
        self.healed = False
        self._rng = rng
        self._schedule = schedule
        self._scenario = scenario
        self._counts = counts
        self._requests = 0

    def ask(
        self,
        source: "Process",
        call: Call,
        timeout_ms: float,
        done: Callable[[Answered], None],
        failed: Callable[[], None],
        late: Callable[[Answered], object] | None = None,
    ) -> Ask:
        """Call `call.target`; `done` or `failed` happens in the source's own time."""
        ask = Ask(source, call, done, failed, None if self._scenario.tame else late)
        self._schedule.after_for(source, timeout_ms, self.fail, ask)
        sender = source.sender
        journeys = self._journeys(source.id, call.target)
        if isinstance(call, Propose):
            # HTTP sends no request twice.  So a refusal holds: no other copy of those proposals is accepted later.
            journeys = journeys[:1]
        for delay_ms in journeys:
            self._schedule.after(delay_ms, self._arrive, ask, sender)
        return ask

    def connects(self, source: int, target: int) -> bool:
        """Whether a connection can be made now."""
        return target in self.running and not self.cut[source, target] and not self.cut[target, source]

    def fail(self, ask: Ask) -> None:
        """The call is over, whatever comes of it."""
        if ask.open:
            ask.open = False
            ask.failed()

    def _journeys(self, source: int, target: int) -> list[float]:
        """When the copies of a message arrive: usually one, maybe none."""
        rng, scenario = self._rng, self._scenario
        delay_ms = scenario.latency_ms * rng.expovariate(1.0)
        if self.healed:
            return [delay_ms]
        if (self.cut and self.cut[source, target] > 0) or (scenario.loss and rng.random() < scenario.loss):
            self._counts["messages dropped"] += 1
            return []
        if scenario.late and rng.random() < scenario.late:
            delay_ms += rng.random() * scenario.late_ms
        if scenario.doubled and rng.random() < scenario.doubled:
            self._counts["messages doubled"] += 1
            return [delay_ms, delay_ms + rng.random() * scenario.late_ms]
        return [delay_ms]

    def _arrive(self, ask: Ask, sender: Sender) -> None:
        target = self.running.get(ask.call.target)
        if target is None:  # the connection is refused, which the source learns if the way back is open
            if not self.cut[ask.call.target, ask.source.id]:
                self._schedule.after_for(ask.source, REFUSED_MS, self.fail, ask)
            return
        self._requests += 1
        request, call = self._requests, ask.call
        if self._scenario.encoded:
            sender, call = decode_call(encode(sender, call), request)
        self._schedule.after_for(
            target, 0, target.endpoint.serve, request, sender, call, lambda a: self._answer(ask, target, a)
        )

    def _answer(self, ask: Ask, target: "Process", answer: Answer | RefusedPeer) -> None:
        answered: Answered = (target.sender, answer)
        if self._scenario.encoded and not isinstance(answer, RefusedPeer):
            answered = decode_answer(encode(target.sender, answer))
        for delay_ms in self._journeys(target.id, ask.source.id):
            self._schedule.after_for(ask.source, delay_ms, self._return, ask, answered)

    def _return(self, ask: Ask, answered: Answered) -> None:
        if ask.open:
            ask.open = False
            ask.done(answered)
        elif ask.late is not None:
            ask.late(answered)
