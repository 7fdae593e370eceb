"""How much of the processor each network's websockets use with what they say, and how long they are to be silent then.

All websockets share one thread, and that shares the interpreter with everything else: whoever keeps it busy is late for
everybody.  Posts that are proposed are held back by the commits they wait for; nothing holds back the rest (a message
that is refused, a subscription, a ping), and one legal message of 64 KiB may cost ten milliseconds.

Rules
- A long message costs what its handling took of this thread's processor time, not of the clock: a busy machine is
  nobody's fault.  A short one costs what the worst of its length would: that is known without a look at the clock.
- A post that is proposed costs only what is beyond POST_S, and a short one nothing.
- What is cheap may come in bursts: thousands come back at once from behind one address after a failover.
- What is costly may not: without a pause it would be late for others by as much.
- A network that has used up its share is not read; nothing is dropped, and nothing is closed.
"""

from collections.abc import Callable
from typing import Final

SHORT_POINTS: Final = 4 * 1024  # what is longer is measured
POINT_S: Final = 0.0000002  # of the worst message, names to be normalised
POST_S: Final = 0.0005  # a usual post takes a tenth of a millisecond
OVERHEAD_S: Final = 0.00003  # reading and answering a message, beside its handling
COSTLY_S: Final = 0.001
SHARE: Final = 0.05  # of one core, for each network and kind
BURST_S: Final = 1.5  # of cheap messages: 3,000 subscriptions
COSTLY_BURST_S: Final = 0.01
NETWORKS_MAX: Final = 10_000  # remembered; those that have used nothing for long are forgotten first


class ProcessorBudget:
    """`charge` is for one thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cheap: dict[str, float] = {}  # until when what the network used is paid back
        self._costly: dict[str, float] = {}

    def charge(self, network: str, cost_s: float, *, is_post: bool) -> float:
        """For how many seconds not to read who has said something that cost so much."""
        if is_post:
            cost_s -= POST_S
            if cost_s <= 0:
                return 0.0
        if cost_s >= COSTLY_S:
            return self._pay(self._costly, network, cost_s, COSTLY_BURST_S)
        return self._pay(self._cheap, network, cost_s + OVERHEAD_S, BURST_S)

    def _pay(self, debts: dict[str, float], network: str, cost_s: float, burst_s: float) -> float:
        """A token bucket, kept as the moment at which it will be full again."""
        now = self._clock()
        full_at = max(debts.get(network, now), now) + cost_s / SHARE
        debts[network] = full_at
        if len(debts) > NETWORKS_MAX:
            self._forget(debts, now)
        return max(0.0, full_at - burst_s / SHARE - now)

    @staticmethod
    def _forget(debts: dict[str, float], now: float) -> None:
        for network in [network for network, full_at in debts.items() if full_at <= now]:
            del debts[network]
        while len(debts) > NETWORKS_MAX:
            debts.pop(next(iter(debts)))
