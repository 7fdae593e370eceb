"""Send and receive without waiting, and without releasing the GIL.

The socket module's let other threads run while they are in the kernel.  The one thread that sends a batch's answers
wakes a client with each of them, whose next request wakes a thread that wants the GIL: so each send of 5 µs ended in a
queue for it.  Sending through ctypes.PyDLL, which keeps the GIL, gave 40 % more posts a second on three nodes, 24 % on
one.  With receiving it is the same: the thread that reads a batch of requests is to have read all of them before
the one that writes them to the disk begins.

Only for a socket that surely stays open meanwhile, and for few bytes at a time: nobody else runs until it returns.
"""

import ctypes
import errno
import os
import platform
import socket
import sys
from collections.abc import Sequence
from itertools import repeat
from typing import Any, Protocol

_libc = ctypes.PyDLL(None, use_errno=True)
_libc.send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
_libc.send.restype = ctypes.c_ssize_t
_libc.recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_libc.recv.restype = ctypes.c_ssize_t

_SEND_FLAGS = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
_ADDRESS_BYTES = 28  # of IPv6; IPv4 has less
_EPOLL_CTL_ADD = 1
_LATER = (errno.EAGAIN, errno.EINTR)


def send_now(descriptor: int, data: bytes) -> int:
    """Send, and return how many bytes went into the socket's buffer; 0 if it is full.  Raises OSError."""
    sent: int = _libc.send(descriptor, data, len(data), _SEND_FLAGS)
    if sent >= 0:
        return sent
    error = ctypes.get_errno()
    if error in _LATER:
        return 0
    raise OSError(error, "send failed")


def send_to_all(descriptors: Sequence[int], data: bytes) -> list[int]:
    """Send the same bytes on many sockets, and return how many each took; -1 if it is full, fails or is no socket (-1).

    The loop is C's: 1 µs less a socket than one of Python's around `send_now`, of 7 that the kernel takes.
    """
    return list(map(_libc.send, descriptors, repeat(data), repeat(len(data)), repeat(_SEND_FLAGS)))


class _EpollData(ctypes.Union):
    _fields_ = (("fd", ctypes.c_int32), ("u64", ctypes.c_uint64))


class _EpollEvent(ctypes.Structure):
    if platform.machine() == "x86_64":  # where the kernel has it packed
        _pack_ = 1
    _fields_ = (("events", ctypes.c_uint32), ("data", _EpollData))


def accept_now(listener: socket.socket) -> tuple[socket.socket, Any]:
    """Accept a connection, as `socket.accept` does, from a listener that does not block.  Raises OSError.

    A loop that accepts thousands would otherwise wait for the GIL after each, as long as another thread computes.
    """
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    length = ctypes.c_uint32(_ADDRESS_BYTES)
    descriptor = _libc.accept4(listener.fileno(), address, ctypes.byref(length), socket.SOCK_CLOEXEC)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    connected = socket.socket(listener.family, listener.type, listener.proto, fileno=descriptor)
    return connected, _address(listener.family, address.raw)


def _address(family: int, raw: bytes) -> Any:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[4:8]), int.from_bytes(raw[2:4], "big")
    flow, scope = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[24:28], sys.byteorder)
    return socket.inet_ntop(family, raw[8:24]), int.from_bytes(raw[2:4], "big"), flow, scope


def poll_now(epoll: int, descriptor: int, events: int) -> None:
    """Register a descriptor with an epoll, as its `register` does.  Raises OSError."""
    event = _EpollEvent(events, _EpollData(fd=descriptor))
    if _libc.epoll_ctl(epoll, _EPOLL_CTL_ADD, descriptor, ctypes.byref(event)) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class InputReceiver(Protocol):
    """Receives the input of connections."""

    def receive_now(self, descriptor: int, most: int = 0) -> bytes | None:
        """Return the input; b"" if the peer has closed, None if nothing has arrived.  Raises OSError."""


class EncryptedSocket(Protocol):
    """A socket that encrypts what it sends, with those of a socket's methods that its owner needs."""

    def fileno(self) -> int:
        """The descriptor, to wait for encrypted bytes."""

    def setblocking(self, flag: bool) -> None:
        """Do as socket.socket.setblocking does."""

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Do as socket.socket.setsockopt does."""

    def send(self, data: bytes | memoryview) -> int:
        """Send all of `data`.  Raises ssl.SSLWantWriteError: the next call has to begin with the same bytes."""

    def receive_now(self, receiver: InputReceiver) -> bytes | None:
        """Return the input, decrypted; b"" if the peer has ended it, None if nothing is whole.  Raises OSError."""

    def shutdown(self, how: int) -> None:
        """Tell the peer, then do as socket.socket.shutdown does."""

    def close(self) -> None:
        """Do as socket.socket.close does."""


ClientSocket = socket.socket | EncryptedSocket


class Receiver:
    """A buffer to receive into, up to `size` bytes at a time.  For one thread at a time."""

    def __init__(self, size: int) -> None:
        self._buffer = ctypes.create_string_buffer(size)
        self._address = ctypes.addressof(self._buffer)
        self._size = size
        self._view = memoryview(self._buffer)

    def receive_now(self, descriptor: int, most: int = 0) -> bytes | None:
        """Return the input; b"" if the peer has closed, None if nothing has arrived.  Raises OSError.

        At most `most` bytes, no more than `size`; 0 is `size`.
        """
        received: int = _libc.recv(descriptor, self._address, most or self._size, socket.MSG_DONTWAIT)
        if received >= 0:
            return self._view[:received].tobytes()
        error = ctypes.get_errno()
        if error in _LATER:
            return None
        raise OSError(error, "recv failed")
