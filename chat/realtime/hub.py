"""The hub: one thread that owns every open connection, publishes events to them and runs their timers.

Rules
- The selector thread ("hub") owns the connections, the channels and `published_index`.  Other threads call only
  `publish`, `attach`, `call` and `drain`, which hand something over and wake it.  The lock guards what is handed over
  and nothing else, for as long as a deque takes to grow: the apply thread never waits for a socket.
- `published_index` moves in this thread only, together with the fan-out.  A connection that subscribes at index N gets
  every event after N, and none up to it.
- A fan-out is followed by a rest of the same length.  What comes meanwhile goes out in one send a socket, and under
  load this thread leaves half of the interpreter's time to the engine.
- Work that may block (reading missed events) runs in a few workers and comes back through `call`.  A connection has one
  such job at a time, so their queue is as bounded as the connections are.
- Nothing is dropped in silence.  If the hub falls behind by `pending_bytes`, or the state was restored and its events
  were never published, every connection is closed with 1013 and resumes by its cursor.
"""

import heapq
import logging
import math
import selectors
import socket
import threading
import time
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from chat.metrics.sockets import SocketCounts
from chat.realtime.broadcast import Broadcaster
from chat.realtime.channels import Channels
from chat.realtime.connection import READ_BYTES, Connection, HubLimits, MessageHandler, Owner
from chat.realtime.frames import CloseCode
from chat.realtime.registry import Registry
from chat.realtime.websocket_connection import ProcessorBudget, WebSocketConnection
from chat.server.limits import Limits, descriptor_limit
from chat.server.networks import OPERATOR_SPARE, network_to_evict
from chat.server.sockets import ClientSocket, Receiver, send_now
from chat.state.events import Event, Reach

logger = logging.getLogger(__name__)
T = TypeVar("T")
Job = Callable[[], None]

_WORKERS = 2  # they read from the disk's cache: two keep one another's waits filled
_SUBSTITUTES_MAX = 16  # for workers that wait until a damaged message is mended
_SWEEP_S = 1.0  # how often pings and dead peers are looked after
_STEP_BYTES = 64 * 1024  # fanned out before sockets get a turn again: a burst must not look like slow readers
_EVENT_BYTES = 300  # what an event costs beside its text
_RECENT_BYTES = 4 * 1024 * 1024  # of events kept for those that come back: several seconds of many posts
_DRAINING = (CloseCode.SERVICE_RESTART, "this node is shutting down")
_STOP_S = 1.0  # beyond a drain's deadline, for the thread to end
_TOO_SLOW = (CloseCode.TRY_AGAIN_LATER, "too slow, and too much waits for all clients")
_LOG_EVERY_S = 60.0
_EVICTED = (CloseCode.TRY_AGAIN_LATER, "all websockets are taken, and this address has most of them")
_EVICTING_MAX = 64  # that are being closed while newcomers have their places already
_GOLDEN = 0.618034  # spreads the pings of websockets that came together evenly over the interval


def hub_limits() -> HubLimits:
    """Return the limits of a node's hub: a quarter of the descriptors for clients is left to REST."""
    most = descriptor_limit() - Limits().spare_descriptors
    return HubLimits(connections=int(min(HubLimits().connections, most * 3 // 4)), operator_spare=OPERATOR_SPARE)


class HubListener(Protocol):
    """Follows who is subscribed; in the selector thread."""

    def greet(self, connection: Connection) -> None:
        """Act on a connection that has subscribed."""

    def forget(self, connection: Connection) -> None:
        """Act on a connection that is over."""


class _RecentEvents:
    """The latest events, for clients that come back: reading these from the log took a third of all time."""

    def __init__(self) -> None:
        # By log index, ascending, with gaps.  A dict would look for its first item behind all that have gone.
        self._events: OrderedDict[int, Event] = OrderedDict()
        self._bytes = 0

    def get(self, index: int) -> Event | None:
        """Return the event of this log index; any thread."""
        return self._events.get(index)

    def add(self, events: Sequence[Event]) -> None:
        """Keep these events, and drop the oldest beyond the bound."""
        for event in events:
            self._events[event.index] = event
            self._bytes += event.size + _EVENT_BYTES
        while self._bytes > _RECENT_BYTES:
            _, oldest = self._events.popitem(last=False)
            self._bytes -= oldest.size + _EVENT_BYTES


class _Waker:
    """A pair of sockets that ends the selector's wait."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._bell, self._sender = socket.socketpair()
        self._bell.setblocking(False)
        self._sender.setblocking(False)
        selector.register(self._bell, selectors.EVENT_READ, None)

    def wake(self) -> None:
        """Wake the selector; the caller may hold a lock that the woken thread wants."""
        send_now(self._sender.fileno(), b"\0")

    def clear(self, receiver: Receiver) -> None:
        """Take in what woke the selector."""
        receiver.receive_now(self._bell.fileno())

    def close(self) -> None:
        """Close both sockets."""
        self._bell.close()
        self._sender.close()


class Hub:
    """The hub of a node.  Create it, have the state call `publish`, then `start` it.

    `history` gives the beginning of every cursor.
    """

    def __init__(
        self,
        history: Callable[[], str],
        *,
        limits: HubLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.published_index = 0
        self.listeners: list[HubListener] = []  # each adds itself before the hub has connections: it needs the hub
        self._limits = limits or HubLimits()
        self._clock = clock
        # Handed over, under the lock.
        self._lock = threading.Lock()
        self._events: deque[Event | int] = deque()  # an int: published up to here, though nothing came of it
        self._events_bytes = 0
        self._overrun = False
        self._jobs: list[Job] = []
        self._awake = False  # the thread looks at these before it waits again: no need to wake it
        self._attached = 0  # sockets that are here or about to be
        self._stopped = False
        # The selector thread's own.
        self._connections: set[Connection] = set()
        self._by_network: defaultdict[str, dict[Connection, None]] = defaultdict(
            dict
        )  # those that may give way, by age
        self._recent = _RecentEvents()
        self._broadcaster = Broadcaster()
        self.sockets, self.streams = SocketCounts(), SocketCounts()
        self.registry = Registry()  # for the selector thread
        self._channels = Channels(history, self.registry, self._broadcaster.send)
        self._waiting: dict[Connection, tuple[int, float, Job]] = {}  # for published_index to get there; until when
        self._touched: set[Connection] = set()
        self._at_end: set[Job] = set()
        self.backlog = 0  # bytes of all websockets; they add and take off
        self.backlog_max = self._limits.backlog_bytes  # of one, for now
        self.charge = ProcessorBudget(clock).charge
        self._timers: list[tuple[float, int, Job]] = []
        self._numbers = count()
        self._swept_at = clock()
        self._log_slow_at = -math.inf
        self._fan_out_at = 0.0  # the next one, unless a step's worth waits
        self._draining = False
        self._empty = threading.Event()
        self._work: SimpleQueue[Job | None] = SimpleQueue()  # for the workers; None ends one
        self._substitutes_lock = threading.Lock()
        self._substitutes = 0  # threads that work for workers that wait
        self.receiver = Receiver(READ_BYTES)  # of the websockets
        self._selector = selectors.DefaultSelector()  # epoll on Linux
        self._waker = _Waker(self._selector)
        # Daemon: what it holds is sockets only, and a process that ends without a drain must not hang on them.
        self._thread = threading.Thread(target=self._run, name="hub", daemon=True)
        self._workers = [
            threading.Thread(target=self._run_worker, name=f"hub-reader-{number}", daemon=True)
            for number in range(1, _WORKERS + 1)
        ]

    # Any thread

    @property
    def limits(self) -> HubLimits:
        """The limits, which all websockets share."""
        return self._limits

    @property
    def count(self) -> int:
        """The number of open connections."""
        return len(self._connections)

    @property
    def ending(self) -> bool:
        """True while this node is shutting down."""
        return self._draining

    def admits(self, network: str, *, is_operator: bool = False) -> bool:
        """Return True if one more connection of this network may be attached.

        If there is no room, the network that holds most loses the one that it has had longest.
        """
        if self._draining:
            return False
        room = self._limits.connections - len(self._connections)
        if room > 0 or (is_operator and room > -self._limits.operator_spare):
            return True
        held = {name: len(connections) for name, connections in self._by_network.copy().items()}
        largest = network_to_evict(held, network) if room > -_EVICTING_MAX else None
        return largest is not None and self.call(partial(self._evict, largest))

    def start(self) -> None:
        """Start the selector thread."""
        self.call_later(_SWEEP_S, self._sweep)
        for thread in (self._thread, *self._workers):
            thread.start()

    def begin_at(self, index: int) -> None:
        """Begin after `index`: everything up to it was applied before `publish` was set."""
        self.call(partial(self._reach, index))

    def publish(self, index: int, events: Sequence[Event]) -> None:
        """Publish the events (ascending) of the log up to `index`.  From the apply thread; never blocks."""
        size = sum(event.size for event in events) + _EVENT_BYTES * len(events)
        with self._lock:
            if self._stopped:
                return
            if not self._attached:  # nobody to wake the thread for
                self._events.clear()
                self._events_bytes = 0
                self._events.append(index)
                return
            if not self._events:  # otherwise the thread knows that there are some
                self._wake_locked()
            if self._events_bytes and self._events_bytes + size > self._limits.pending_bytes:
                self._skip_locked()
            else:
                self._events.extend(events)
                self._events_bytes += size
            self._events.append(index)

    def recent(self, index: int) -> Event | None:
        """Return the event of this log index, if it was published a moment ago; None if the hub has dropped it."""
        return self._recent.get(index)

    def skip_to(self, index: int) -> None:
        """Skip the events up to `index`, which are not known here: the state was restored.

        Every connection is closed, and resumes by its cursor.  From the apply thread; never blocks.
        """
        with self._lock:
            if self._stopped:
                return
            self._skip_locked()
            self._overrun = self._attached > 0
            self._events.append(index)
            self._wake_locked()

    def _skip_locked(self) -> None:
        self._events.clear()
        self._events_bytes = 0
        self._overrun = True

    def _count_attached(self, more: int) -> None:
        with self._lock:
            self._attached += more

    def attach(
        self,
        sock: ClientSocket,
        greeting: bytes,
        read_ahead: bytes,
        make_handler: Callable[[Any], MessageHandler],  # of what `connect` makes
        network: str = "",
        *,
        connect: Callable[[Owner, ClientSocket, bytes], Connection] = WebSocketConnection,
    ) -> bool:
        """Take over a socket.  Send `greeting` first; `read_ahead` are the bytes that came behind the request's head.

        `network` is the client's; "": the connection is never evicted for others.

        From here on the hub closes the socket.  False: the hub has ended, and did.  The connection gets the posts of
        every room until its handler subscribes, so it gets everything that is published after the greeting.
        """

        def adopt() -> None:
            connection = connect(self, sock, greeting)
            connection.ping_at -= self._limits.ping_s * (next(self._numbers) * _GOLDEN % 1)
            self._connections.add(connection)
            connection.counts.open += 1
            if network:
                connection.network = network
                self._by_network[network][connection] = None
            self.listen(connection)
            connection.handler = make_handler(connection)
            if self._draining:
                connection.close(*_DRAINING)
            connection.feed(read_ahead)

        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._limits.send_buffer_bytes)
        self._count_attached(1)
        if self.call(adopt):
            return True
        self._count_attached(-1)
        sock.close()
        return False

    def call(self, job: Job) -> bool:
        """Run `job` in the selector thread, soon.  False: that has ended."""
        with self._lock:
            if self._stopped:
                return False
            self._jobs.append(job)
            self._wake_locked()
            return True

    def drain(self, deadline_s: float) -> None:
        """Answer the messages under way, close every connection with 1012, and end the thread within `deadline_s`."""
        if self._thread.ident is None:
            self._stop()
            return
        self.call(lambda: self._begin_drain(deadline_s))
        self._empty.wait(deadline_s)
        self.call(self._stop)
        self._thread.join(_STOP_S)

    def _wake_locked(self) -> None:
        if not self._awake:
            self._awake = True
            self._waker.wake()

    # The selector thread: groups

    def listen(self, connection: Connection) -> None:
        """Send this connection the posts of every room, without a Cursor."""
        self._channels.listen(connection)

    def subscribe(self, connection: Connection, rooms: frozenset[str] | None) -> None:
        """Send this connection the events of these rooms (None: all) after `published_index`, each with its Cursor."""
        self._channels.subscribe(connection, rooms)
        for listener in self.listeners:
            listener.greet(connection)

    def broadcast(self, room: str | None, payloads: Sequence[bytes], reach: Reach) -> None:
        """Send messages that are no events of the log to everyone who follows the room, None: to all subscribers."""
        self._channels.broadcast(room, payloads, reach)

    def is_subscribed(self, connection: Connection) -> bool:
        """Return True if the connection gets events with a Cursor."""
        return self._channels.is_subscribed(connection)

    def unsubscribe(self, connection: Connection) -> None:
        """Send this connection nothing more, and drop the job that waits for `published_index`."""
        self._channels.unsubscribe(connection)
        self._waiting.pop(connection, None)

    def when_published(self, connection: Connection, index: int, job: Job, patience_s: float = math.inf) -> None:
        """Run `job` once `published_index` >= index, in place of an earlier such job of this connection.

        A websocket that waits for more than `patience_s` is closed with 1013.
        """
        self._waiting[connection] = (index, self._clock() + patience_s, job)

    # The selector thread: what websockets need

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        return self._clock()

    def touched(self, connection: Connection) -> None:
        """Flush the connection at the end of this turn."""
        self._touched.add(connection)

    def at_end_of_turn(self, job: Job) -> None:
        """Run `job` once at the end of this turn, however often this is called: for a burst as a whole."""
        self._at_end.add(job)

    def watch(self, connection: Connection, before: int, events: int) -> None:
        """Call the connection for these events of the selector instead of those `before`, 0 for none."""
        if not before:
            self._selector.register(connection.socket, events, connection)
        elif events:
            self._selector.modify(connection.socket, events, connection)
        else:
            self._selector.unregister(connection.socket)

    def call_later(self, delay_s: float, job: Job) -> None:
        """Run `job` in the selector thread after `delay_s`."""
        heapq.heappush(self._timers, (self._clock() + delay_s, next(self._numbers), job))

    def work(self, connection: Connection, job: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `job` in a worker and `then` with its result in the selector thread; one at a time for a websocket."""

        def run() -> None:
            try:
                result = job()
            except Exception:
                logger.exception("a read for a websocket failed; it is closed")
                self.call(lambda: connection.close(CloseCode.INTERNAL_ERROR, "a read failed"))
            else:
                self.call(lambda: then(result))

        self._work.put(run)

    def substituted(self, wait: Callable[[], bool]) -> bool:
        """Run `wait` in a worker, while another thread does its work; False at once if too many wait already."""
        with self._substitutes_lock:
            if self._substitutes >= _SUBSTITUTES_MAX:
                return False
            self._substitutes += 1
        try:
            threading.Thread(target=self._run_worker, name="hub-reader-substitute", daemon=True).start()
            try:
                return wait()
            finally:
                self._work.put(None)  # one worker more than needed
        finally:
            with self._substitutes_lock:
                self._substitutes -= 1

    def _run_worker(self) -> None:
        while (job := self._work.get()) is not None:
            if not self._stopped:
                job()

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is over."""
        self.unsubscribe(connection)
        self.registry.unregister(connection)
        for listener in self.listeners:
            listener.forget(connection)
        if connection in self._connections:
            self._connections.discard(connection)
            connection.counts.open -= 1
            self._stop_counting(connection)
            self._count_attached(-1)
        self._touched.discard(connection)
        if self._draining and not self._connections:
            self._empty.set()

    def _evict(self, network: str) -> None:
        """Close the connection that this network has had longest."""
        connection = next(iter(self._by_network.get(network, ())), None)
        if connection is not None:
            self._stop_counting(connection)
            connection.expel(*_EVICTED)

    def _stop_counting(self, connection: Connection) -> None:
        """Count the connection for its network no more."""
        network, connection.network = connection.network, ""
        if network:
            del self._by_network[network][connection]
            if not self._by_network[network]:
                del self._by_network[network]

    # The selector thread: its turns

    def _run(self) -> None:
        while not self._stopped:
            for key, events in self._selector.select(self._rest_s()):
                if key.data is None:
                    self._waker.clear(self.receiver)
                else:
                    self._guard(partial(key.data.ready, events), key.data)
            try:
                self._turn()
            except Exception:
                logger.exception("publishing events failed: every websocket is closed, and resumes by its cursor")
                self.close_all(CloseCode.INTERNAL_ERROR, "this node failed")

    def _turn(self) -> None:
        with self._lock:
            self._awake = True
            jobs, self._jobs = self._jobs, []
            reached = self._take_unheard_locked()
        self._reach(reached)  # before the jobs: whoever joins in one must not join in front of what nobody heard
        for job in jobs:
            self._guard(job)
        while self._timers and self._timers[0][0] <= self._clock():
            self._guard(heapq.heappop(self._timers)[2])
        began = self._clock()
        fans_out = bool(self._events) and (began >= self._fan_out_at or self._events_bytes >= _STEP_BYTES)
        if fans_out:
            self._fan_out()
        self._flush()
        while self._at_end:
            self._guard(self._at_end.pop())
        if self.backlog > self._limits.all_backlog_bytes // 2 or self.backlog_max < self._limits.backlog_bytes:
            self._close_slowest()
        if fans_out:
            self._fan_out_at = 2 * self._clock() - began

    def _flush(self) -> None:
        while self._touched and not self._stopped:
            touched, self._touched = self._touched, set()
            for connection in touched:
                self._guard(connection.flush, connection)

    def _close_slowest(self) -> None:
        """Lower the bound on each queue while much waits for slow readers; if it is too much, close the slowest."""
        limits = self._limits
        is_crowded = self.backlog > limits.all_backlog_bytes // 2
        self.backlog_max = limits.crowded_backlog_bytes if is_crowded else limits.backlog_bytes
        if self.backlog <= limits.all_backlog_bytes:
            return
        slow = sorted(
            (connection for connection in self._connections if connection.backlog),
            key=lambda connection: connection.backlog,
        )
        gone = 0
        while slow and self.backlog > limits.all_backlog_bytes * 3 // 4:  # so that it is not looked at again and again
            slow.pop().expel(*_TOO_SLOW)
            gone += 1
        self._flush()
        if self._clock() >= self._log_slow_at:
            self._log_slow_at = self._clock() + _LOG_EVERY_S
            logger.warning("closed the %d slowest websockets: too many bytes waited for all of them together", gone)

    def _rest_s(self) -> float:
        """Return how long to wait for the sockets.  From here on other threads have to wake this one."""
        due = self._timers[0][0] if self._timers else math.inf
        with self._lock:
            if self._jobs or self._events_bytes >= _STEP_BYTES:
                return 0.0
            if self._events:
                due = min(due, self._fan_out_at)
            self._awake = False
        return max(0.0, due - self._clock())

    def _guard(self, job: Job, connection: Connection | None = None) -> None:
        """Run one job.  A bug in it ends one connection at most, not all of them."""
        try:
            job()
        except Exception:
            logger.exception("a job for a websocket failed; the hub goes on")
            if connection is not None:
                connection.abort()

    def _fan_out(self) -> None:
        events, overrun, reached = self._take_events()
        if overrun:
            logger.warning("events were skipped: every websocket is closed, and resumes by its cursor")
            self.close_all(CloseCode.TRY_AGAIN_LATER, "this node is behind")
        if events:
            self._channels.publish(events)
            self._recent.add(events)
        self._reach(reached)

    def _reach(self, index: int) -> None:
        """Move `published_index`, and run the jobs that waited for it."""
        if index > self.published_index:
            self.published_index = index
            for connection, (wanted, _, job) in list(self._waiting.items()):
                if wanted <= index:
                    del self._waiting[connection]
                    self._guard(job, connection)

    def _take_unheard_locked(self) -> int:
        """Return the index up to which there is no event to fan out: nobody was connected when it was published."""
        reached = self.published_index
        while self._events and not self._overrun and isinstance(event := self._events[0], int):
            reached = max(reached, event)
            self._events.popleft()
        return reached

    def _take_events(self) -> tuple[list[Event], bool, int]:
        """Take a step's worth of events.  Returns them, whether earlier ones were lost, and the index they reach."""
        taken: list[Event] = []
        size, reached = 0, self.published_index
        with self._lock:
            while self._events and size < _STEP_BYTES:
                event = self._events.popleft()
                if isinstance(event, int):
                    reached = max(reached, event)
                    continue
                size += event.size
                self._events_bytes -= event.size + _EVENT_BYTES
                reached = max(reached, event.index)
                taken.append(event)
            overrun, self._overrun = self._overrun, False
        return taken, overrun, reached

    def _sweep(self) -> None:
        """Ping clients and close dead ones.  The time by which a sweep is late (this machine slept) does not count."""
        now = self._clock()
        late = max(0.0, now - self._swept_at - 2 * _SWEEP_S)
        self._swept_at = now
        for connection in list(self._connections):
            connection.heard_at += late
            connection.check(now)
        for connection, (_, deadline, _) in self._waiting.items():
            if now >= deadline:
                connection.close(CloseCode.TRY_AGAIN_LATER, "this node is behind")
        self.call_later(_SWEEP_S, self._sweep)

    def _begin_drain(self, deadline_s: float) -> None:
        self._draining = True
        # Half of the time for the answers that are due, half for the sockets to be closed in turn.
        self.call_later(deadline_s / 2, partial(self.close_all, *_DRAINING))
        for connection in list(self._connections):
            connection.finish(*_DRAINING)
        if not self._connections:
            self._empty.set()

    def close_all(self, code: int, reason: str) -> None:
        """Close every connection; selector thread."""
        for connection in self._connections:
            connection.close(code, reason)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
        for connection in list(self._connections):
            connection.abort()
        for _ in self._workers:
            self._work.put(None)
        self._broadcaster.stop()
        self._selector.close()
        self._waker.close()
