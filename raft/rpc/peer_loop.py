"""The peer loop: one thread that makes the calls to all peers which wait for nothing but their answers.

A Lane leads to one peer.  The loop sends a Lane's message on the connection that is open already, and one poll over all
connections waits for the answers.  So a round of heartbeats wakes one thread, however many peers there are.  What may
take longer is left to the Lane's PeerQueue, a thread of its own: connecting, handshakes, TLS, and answers that are not
accepted, after which the queue makes the call again.

Rules
- A Lane has one call under way, the loop's or its queue's.
- A newer message replaces one of its kind that still waits, as in a PeerQueue.
- The connection belongs to the loop, except while the queue has a message of the Lane.
- The loop never blocks: it sends without waiting, and a deadline ends each call.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Generic, Protocol, TypeVar

from raft.errors import InvalidMessage
from raft.rpc.peer_client import HTTP_OK, Addresses, PeerConnection, PeerQueue

logger = logging.getLogger(__name__)

T = TypeVar("T")

RINGS_BYTES = 64  # one byte each, and hardly ever more than one


class Calls(Protocol[T]):
    """The owner of a PeerLoop: what its calls are, and what becomes of them.  Only `deliver` may block."""

    def body(self, message: T, /) -> bytes:
        """Return the body of the call."""

    def answered(self, lane: "Lane[T]", message: T, body: bytes, /) -> bool:
        """Take the body of an answer with status 200; return False to have the queue make the call again."""

    def failed(self, lane: "Lane[T]", message: T, error: Exception, /) -> None:
        """Handle a call without an answer: `error` is an OSError or InvalidMessage."""

    def deliver(self, queue: PeerQueue[T], message: T, /) -> None:
        """Make the call in the queue's thread, and handle its outcome."""


class Lane(Generic[T]):
    """The way to one peer."""

    def __init__(self, loop: "PeerLoop[T]", url: str, name: str, addresses: Addresses, member: int) -> None:
        self._loop = loop
        self.queue = PeerQueue(url, name, self._deliver_lent, addresses, member)
        self.waiting: dict[type, T] = {}  # by kind: bounded by how many kinds there are
        self.is_closed = False
        # The loop's own: the call under way, if any.
        self.message: T | None = None
        self.descriptor = -1
        self.deadline_s = inf
        self.is_lent = False  # the queue has a message

    @property
    def url(self) -> str:
        """The peer's URL."""
        return self.queue.url

    @property
    def connection(self) -> PeerConnection:
        """The connection to the peer."""
        return self.queue.connection

    def send(self, message: T) -> None:
        """Queue a message, for the next `ring` of the loop; never blocks.  For one caller at a time.

        Replaces a waiting message of the same kind.
        """
        self.waiting[type(message)] = message
        self._loop.look_at(self)

    def close(self) -> None:
        """Stop; a call under way ends."""
        self.is_closed = True
        self._loop.wake(self)

    def _deliver_lent(self, queue: PeerQueue[T], message: T) -> None:
        """In the queue's thread: make the call, and give the lane back to the loop."""
        try:
            self._loop.calls.deliver(queue, message)
        finally:
            self.is_lent = False
            self._loop.wake(self)


class PeerLoop(Generic[T]):
    """The thread.  It starts with the first lane."""

    def __init__(self, name: str, calls: Calls[T], timeout_s: float) -> None:
        """`timeout_s` bounds each call."""
        self._name = name
        self.calls = calls
        self._timeout_s = timeout_s
        self._poll = select.poll()
        self._wake_receiver: socket.socket  # both made with the thread
        self._wake_sender: socket.socket
        self._woken: deque[Lane[T]] = deque()  # at most one entry for each message and each answer of a queue
        self._is_rung = False
        self._under_way: dict[int, Lane[T]] = {}  # by descriptor
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def lane(self, url: str, name: str, addresses: Addresses, member: int) -> Lane[T]:
        """Return a new lane.  For one caller at a time.

        Raises ValueError: not a URL; RuntimeError or OSError: the process can have no more threads or descriptors.
        """
        if self._thread is None:
            self._wake_receiver, self._wake_sender = socket.socketpair()
            self._poll.register(self._wake_receiver, select.POLLIN)
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread
        return Lane(self, url, name, addresses, member)

    def look_at(self, lane: Lane[T]) -> None:
        """Have the loop look at `lane` after the next `ring`."""
        self._woken.append(lane)

    def wake(self, lane: Lane[T]) -> None:
        """Have the loop look at `lane` now.  Any thread may call this; it never blocks."""
        self.look_at(lane)
        self.ring()

    def ring(self) -> None:
        """Wake the loop if lanes wait for it.  Any thread may call this; it never blocks."""
        if self._woken and not self._is_rung:
            self._is_rung = True
            with contextlib.suppress(OSError):  # the loop has ended
                self._wake_sender.send(b"\0", socket.MSG_DONTWAIT)

    def close(self) -> None:
        """Stop the thread.  Lanes are closed by their owner."""
        self._is_closed = True
        if self._thread is not None:
            with contextlib.suppress(OSError):
                self._wake_sender.send(b"\0", socket.MSG_DONTWAIT)

    # The thread

    def _run(self) -> None:
        while not self._is_closed:
            for descriptor, _ in self._poll.poll(self._pause_ms()):
                if descriptor == self._wake_receiver.fileno():
                    self._look_at_woken()
                elif lane := self._under_way.get(descriptor):  # None: it was closed in this very turn
                    self._guarded(self._receive, lane)
            self._end_late_calls()
        self._look_at_woken()  # the lanes that were closed before this loop
        for lane in list(self._under_way.values()):
            self._close(lane)
        self._wake_receiver.close()
        self._wake_sender.close()

    def _pause_ms(self) -> float | None:
        """Return the time until the next deadline; None if no call is under way."""
        deadline_s = min((lane.deadline_s for lane in self._under_way.values()), default=inf)
        return None if deadline_s == inf else max(0.0, deadline_s - time.monotonic()) * 1000 + 1

    def _guarded(self, handle: Callable[[Lane[T]], None], lane: Lane[T]) -> None:
        try:
            handle(lane)
        except Exception:
            logger.exception("a call to the peer at %s failed", lane.url)

    def _look_at_woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_receiver.recv(RINGS_BYTES, socket.MSG_DONTWAIT)
        self._is_rung = False  # before the deque is read, so that whoever adds to it later rings again
        while self._woken:
            lane = self._woken.popleft()
            self._guarded(self._close if lane.is_closed else self._send_waiting, lane)

    def _close(self, lane: Lane[T]) -> None:
        self._end(lane)
        lane.queue.close()

    def _send_waiting(self, lane: Lane[T]) -> None:
        """Send the message that waits, unless a call is under way.  Then its end comes back here."""
        while lane.waiting and lane.message is None and not lane.is_lent:
            self._begin(lane, lane.waiting.popitem()[1])

    def _begin(self, lane: Lane[T], message: T) -> None:
        descriptor = lane.connection.begin(self.calls.body(message))
        if descriptor < 0:
            self._lend(lane, message)
            return
        lane.message, lane.descriptor, lane.deadline_s = message, descriptor, time.monotonic() + self._timeout_s
        self._under_way[descriptor] = lane
        self._poll.register(descriptor, select.POLLIN)

    def _lend(self, lane: Lane[T], message: T) -> None:
        lane.is_lent = True
        lane.queue.send(message)

    def _receive(self, lane: Lane[T]) -> None:
        message = lane.message
        assert message is not None
        try:
            answer = lane.connection.receive_begun()
        except (OSError, InvalidMessage) as error:
            self._end(lane)
            self.calls.failed(lane, message, error)
        else:
            if answer is None:
                return
            self._end(lane)
            if answer[0] != HTTP_OK or not self.calls.answered(lane, message, answer[1]):
                self._lend(lane, message)
        finally:
            self._send_waiting(lane)

    def _end_late_calls(self) -> None:
        now_s = time.monotonic()
        for lane in [lane for lane in self._under_way.values() if lane.deadline_s <= now_s]:
            self._guarded(self._time_out, lane)

    def _time_out(self, lane: Lane[T]) -> None:
        message = lane.message
        assert message is not None
        self._end(lane)
        lane.connection.give_up()
        try:
            self.calls.failed(lane, message, TimeoutError("timed out"))
        finally:
            self._send_waiting(lane)

    def _end(self, lane: Lane[T]) -> None:
        """Take a call that is under way from the poll."""
        if lane.message is None:
            return
        del self._under_way[lane.descriptor]
        self._poll.unregister(lane.descriptor)
        lane.message, lane.descriptor, lane.deadline_s = None, -1, inf
