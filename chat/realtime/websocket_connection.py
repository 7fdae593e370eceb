"""A websocket of the hub: bytes become whole messages for the handler, and messages become frames.

Rules
- What is sent, and when, is `connection.py`'s; frames are read and written by `frames.py`.
- A turn handles up to FRAMES_A_TURN frames of one socket, then the other sockets have theirs.
- A websocket whose handler holds too many messages, or whose network has used up its processor time, is not read for a
  while.  Nothing is dropped, and nothing is closed.

Processor time.  All websockets share one thread, and that shares the interpreter with everything else, so a client that
keeps it busy makes everybody wait.  Posts that are proposed are held back by the commits they wait for.  The rest (a
message that is refused, a subscription, a ping) has a budget for each network:
- A long message costs the processor time of this thread that its handling took, not the time of the clock: a busy
  machine is nobody's fault.  A short one costs what the worst message of its length would, without a look at the clock.
- A post that is proposed costs only the time beyond POST_S, and a short one nothing.
- Cheap messages may come in bursts: thousands of clients come back at once from behind one address after a failover.
  Costly ones may not: without a pause the others would wait as long.
"""

from collections.abc import Callable
from time import thread_time
from typing import Final

from chat.realtime.connection import Connection, Owner
from chat.realtime.frames import (
    PING,
    PONG,
    Close,
    Fragment,
    FrameReader,
    Ping,
    Pong,
    Received,
    close_frame,
    end_of_frame,
    server_frame,
    text_frame,
)
from chat.server.sockets import ClientSocket

FRAMES_A_TURN = 128  # 16 KiB are up to 2,730 frames, and the smallest ones take 10 to 20 µs each

SHORT_POINTS: Final = 4 * 1024  # what is longer is measured
POINT_S: Final = 0.0000002  # of the worst message, names to be normalised
POST_S: Final = 0.0005  # a usual post takes a tenth of a millisecond
OVERHEAD_S: Final = 0.00003  # reading and answering a message, beside its handling
COSTLY_S: Final = 0.001
SHARE: Final = 0.05  # of one core, for each network and kind
BURST_S: Final = 1.5  # of cheap messages: 3,000 subscriptions
COSTLY_BURST_S: Final = 0.01
NETWORKS_MAX: Final = 10_000  # remembered; those that have used nothing for long are forgotten first

_PING = server_frame(PING, b"")


def websocket_message(payload: bytes, cursor: bytes) -> bytes:
    """The text frame of a message; its Cursor is in the payload."""
    return text_frame(payload)


class WebSocketConnection(Connection):
    """An open websocket."""

    __slots__ = ("_ending", "_frames", "_held", "_rests", "is_over_budget")

    def __init__(self, owner: Owner, sock: ClientSocket, greeting: bytes) -> None:
        """Send `greeting` before all else: the end of the handshake."""
        super().__init__(owner, sock, greeting, websocket_message, owner.sockets)
        self._frames = FrameReader(owner.limits.message_bytes)
        self._rests = False  # frames are left for the next turn: until then the socket is not read
        self._held = 0  # messages that are being worked on
        self.is_over_budget = False  # the last message cost too much: the socket is not read for a while
        self._ending: tuple[int, str] | None = None  # to close with, once nothing is held

    # Input

    @property
    def is_reading(self) -> bool:
        """True if the socket is to be read."""
        return self.closing or not (self.paused or self._rests or self.is_over_budget)

    def feed(self, data: bytes) -> None:
        """Take in bytes from the client, also those that were read together with the handshake."""
        if not self.closing:
            self._frames.feed(data)
            self._handle_some()
        self._watch()

    def limit(self, bytes_max: int, when: str = "") -> None:
        """Refuse messages of more bytes from the next frame on; the client is told the number and `when`."""
        self._frames.bytes_max = bytes_max
        self._frames.bound = f"at most {bytes_max} bytes {when}".rstrip()

    def _handle_some(self) -> None:
        """Handle messages until the handler has enough or it is the other sockets' turn."""
        for handled in range(FRAMES_A_TURN):
            received = None if self.closing or self.paused or self.is_over_budget else self._frames.next()
            if received is None:
                self.counts.frames_in += handled
                return
            self._handle(received)
        self.counts.frames_in += FRAMES_A_TURN
        self._rests = True
        self._owner.call(self._resume)

    def _handle(self, received: Received) -> None:
        match received:
            case str():
                self._handle_message(received)
            case Ping():
                self.counts.frames_out += 1
                self.queue(server_frame(PONG, received.payload))
            case Close():
                self.close(received.code, received.reason)
            case Pong() | Fragment():  # a sign of life, and no more
                pass

    def _handle_message(self, message: str) -> None:
        """Have the handler act on a message, and read no more for a while if that cost too much."""
        assert self.handler is not None
        held = self._held
        if len(message) <= SHORT_POINTS:  # looking at the clock twice would cost a tenth of a post
            self.handler.received(message)
            if self._held > held:  # a post that was proposed
                return
            cost_s = len(message) * POINT_S
        else:
            began = thread_time()
            self.handler.received(message)
            cost_s = thread_time() - began
        pause_s = self._owner.charge(self.network, cost_s, is_post=self._held > held)
        if pause_s > 0:
            self.is_over_budget = True
            self._owner.call_later(pause_s, self._resume_after_pause)

    def _resume_after_pause(self) -> None:
        self.is_over_budget = False
        self._resume()

    def _resume(self) -> None:
        self._rests = False
        super()._resume()

    # Back-pressure

    @property
    def is_busy(self) -> bool:
        """True while a message of this websocket is being worked on."""
        return self._held > 0

    def hold(self) -> None:
        """Count a message that is being worked on.  With too many, the socket is not read until some are released."""
        self._held += 1
        if self._held >= self._owner.limits.held:
            self.paused = True

    def release(self) -> None:
        """Count a message less that is being worked on."""
        self._held -= 1
        if self._ending is not None:
            if self._held == 0:
                self.close(*self._ending)
        elif self.paused and self._held <= self._owner.limits.held // 2:
            self.go_on()

    # The end

    def check(self, now: float) -> None:
        """Ping the client when it is time, and give it up when it has been silent for too long."""
        if self.paused or self.is_over_budget:
            self.heard_at = now  # we do not listen: its silence says nothing
        if now - self.heard_at >= self._owner.limits.dead_s:
            self.abort()
        elif now >= self.ping_at:
            self.ping_at = now + self._owner.limits.ping_s
            self.counts.frames_out += 1
            self.queue(_PING)

    def finish(self, code: int, reason: str) -> None:
        """Read nothing more, answer what is being worked on, then close."""
        if self._held == 0:
            self.close(code, reason)
        else:
            self._ending = (code, reason)
            self.paused = True
            self._watch()

    def end_marker(self, code: int, reason: str) -> bytes:
        """Return the close frame."""
        return close_frame(code, reason)

    def end_of_message(self, data: bytes, start: int) -> int:
        """Return where the frame ends that begins in `data` at `start`."""
        return end_of_frame(data, start)


class ProcessorBudget:
    """The processor time that each network has used.  For one thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._cheap: dict[str, float] = {}  # until when what the network used is paid back
        self._costly: dict[str, float] = {}

    def charge(self, network: str, cost_s: float, *, is_post: bool) -> float:
        """Note a cost, and return for how many seconds not to read the websocket that caused it."""
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
