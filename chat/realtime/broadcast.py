"""Send the same bytes to many sockets: hundreds in one system call, and half of them in a second thread.

One post to thousands of sockets is nearly nothing but the kernel's `send`, 6 to 9 µs each.  Linux takes a list of
writes in one call (io_submit; a write to a socket is done before the call returns), which saves a sixth of that.  The
interpreter's lock is released meanwhile, so two threads can do it at once.  It takes 0.6 of the time of one `send`
after the other, for 1,000 sockets as for 5,000, on two cores, and other threads need not wait for it.

Few sockets are sent to in turn.  So are all of them if the kernel takes no lists: on another system, in a container
that forbids them, or on a machine where as many as allowed are in use (fs.aio-max-nr).
"""

import ctypes
import logging
import platform
import sys
from array import array
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Final, Literal

from chat.server.sockets import send_to_all

logger = logging.getLogger(__name__)

IN_TURN: Final = 64  # sockets that get frames before another thread may run: half a millisecond
LIST_MAX: Final = 256  # sockets in one call: two milliseconds
FEW: Final = 64  # are not worth a list
FOR_TWO: Final = 256  # are worth waking a thread

# io_setup, io_destroy, io_submit, io_getevents: libc has no names for them.
_CALLS: Final = {"x86_64": (206, 207, 209, 208), "aarch64": (0, 1, 2, 4)}
_WRITE: Final = 1  # IOCB_CMD_PWRITE; the socket's own O_NONBLOCK says that it must not wait
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_Batch = tuple[Sequence[int], bytes]


class Broadcaster:
    """Sends to many sockets.  For one thread.  The kernel's lists are made when there are many to send to."""

    def __init__(self) -> None:
        self._lists: list[_List] | None = None  # one for each thread, or none at all; None: not asked yet
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()  # for the second thread; None ends it
        self._outcomes: SimpleQueue[list[int] | Exception] = SimpleQueue()  # of its letters
        self._thread = Thread(target=self._run, name="hub-mailer", daemon=True)  # what it holds is the caller's

    def stop(self) -> None:
        """Give the lists back to the kernel, and end the second thread."""
        self._batches.put(None)
        while self._lists:
            self._lists.pop().close()

    def send(self, descriptors: Sequence[int], data: bytes) -> list[int]:
        """Send on non-blocking sockets, and return how many bytes each took; 0 or less if one is full or fails."""
        lists = self._known_lists() if len(descriptors) >= FEW else []
        if not lists:
            return _send_in_turn(descriptors, data)
        if len(descriptors) < FOR_TWO:
            return lists[0].send(descriptors, data)
        half = len(descriptors) // 2
        self._batches.put((descriptors[half:], data))
        try:
            mine = lists[0].send(descriptors[:half], data)
        finally:
            others = self._outcomes.get()  # no socket may be closed before
        if isinstance(others, Exception):
            raise others
        return mine + others

    def _known_lists(self) -> "list[_List]":
        if self._lists is None:
            self._lists = _lists(2)
            if self._lists:
                self._thread.start()
        return self._lists

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._outcomes.put(self._known_lists()[1].send(*batch))
            except Exception as error:  # noqa: BLE001  it is raised to who waits for it
                self._outcomes.put(error)


def _send_in_turn(descriptors: Sequence[int], data: bytes) -> list[int]:
    taken: list[int] = []
    for start in range(0, len(descriptors), IN_TURN):
        taken += send_to_all(descriptors[start : start + IN_TURN], data)
    return taken


def _lists(number: int) -> "list[_List]":
    """Make so many lists; none if the kernel does not have them."""
    calls = _CALLS.get(platform.machine())
    if not sys.platform.startswith("linux") or calls is None:
        return []
    lists: list[_List] = []
    try:
        lists += (_List(*calls) for _ in range(number))
    except OSError as error:
        logger.info("io_submit cannot be used, so many sockets are sent to in turn: %s", error)
        while lists:
            lists.pop().close()
    return lists


class _List:
    """A list of writes, each a `struct iocb` of 64 bytes, and of what came of them, each a `struct io_event` of 32.

    As linux/aio_abi.h has them.  For one thread.
    """

    def __init__(self, setup: int, destroy: int, submit: int, results: int) -> None:
        """Make a list; the arguments are the numbers of the system calls.  Raises OSError."""
        self._destroy, self._submit, self._results = map(ctypes.c_long, (destroy, submit, results))
        self._context = ctypes.c_ulong(0)
        if _libc.syscall(ctypes.c_long(setup), ctypes.c_long(LIST_MAX), ctypes.byref(self._context)) < 0:
            raise OSError(ctypes.get_errno(), "io_setup failed")
        writes = (ctypes.c_char * (64 * LIST_MAX))()
        self._events = (ctypes.c_char * (32 * LIST_MAX))()
        first = ctypes.addressof(writes)
        self._writes = (ctypes.c_void_p * LIST_MAX)(*range(first, first + len(writes), 64))
        # Columns of the two tables.
        _column(writes, "H", 16, 64)[:] = array("H", [_WRITE]) * LIST_MAX
        self._descriptors = _column(writes, "I", 20, 64)
        self._addresses = _column(writes, "Q", 24, 64)
        self._lengths = _column(writes, "Q", 32, 64)
        self._taken = _column(self._events, "q", 16, 32)

    def close(self) -> None:
        """Give the list back to the kernel."""
        _libc.syscall(self._destroy, self._context)

    def send(self, descriptors: Sequence[int], data: bytes) -> list[int]:
        """Send, and return how many bytes each took; 0 or less if it is full or fails."""
        address = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        assert address is not None
        self._addresses[:] = array("Q", [address]) * LIST_MAX
        self._lengths[:] = array("Q", [len(data)]) * LIST_MAX
        taken: list[int] = []
        for start in range(0, len(descriptors), LIST_MAX):
            taken += self._send_some(descriptors[start : start + LIST_MAX])
        return taken

    def _send_some(self, descriptors: Sequence[int]) -> list[int]:
        wanted = len(descriptors)
        self._descriptors[:wanted] = array("I", descriptors)
        # It ends early at what is no open descriptor; those behind that one are not sent to.
        done = max(0, _libc.syscall(self._submit, self._context, ctypes.c_long(wanted), self._writes))
        count = ctypes.c_long(done)
        told = _libc.syscall(self._results, self._context, count, count, self._events, None)
        assert told == done, "a write to a socket is over when it has been submitted"
        return self._taken[:done].tolist() + [0] * (wanted - done)


def _column(
    table: "ctypes.Array[ctypes.c_char]", item: Literal["H", "I", "Q", "q"], offset: int, row: int
) -> memoryview:
    size = array(item).itemsize
    return memoryview(table).cast("B").cast(item)[offset // size :: row // size]
