"""A socket over TLS that was taken from the server: for a websocket, or a stream of events.

Rules
- For one thread.  With the socket set to non-blocking, nothing here blocks.
- Bytes that were encrypted have to go out before all others.  So a `send` that the socket does not take whole raises
  ssl.SSLWantWriteError, as that of ssl.SSLSocket does, and the caller tries again with the same bytes at the front.
- No more is encrypted while a rest waits.  It is held here, as long as one `send` made it.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final

from chat.server.sockets import InputReceiver, send_now
from chat.server.tls.session import RECORD_BYTES, TlsSession

_NOW_BYTES: Final = RECORD_BYTES  # sent without letting go of the interpreter's lock: copying them takes microseconds
_OUTPUT_MAX: Final = 16 * 1024  # alerts and keys that a client asks for and does not read


class DetachedTlsSocket:
    """The EncryptedSocket of one connection over TLS."""

    __slots__ = ("_rest", "_session", "_socket", "_taken")

    def __init__(self, connected: socket.socket, session: TlsSession) -> None:
        self._socket = connected
        self._session = session
        self._rest = b""  # encrypted, and not sent
        self._taken = 0  # bytes of the caller's that `_rest` ends with

    def fileno(self) -> int:
        """The descriptor, to wait for encrypted bytes."""
        return self._socket.fileno()

    def setblocking(self, flag: bool) -> None:
        """Do as socket.socket.setblocking does."""
        self._socket.setblocking(flag)

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Do as socket.socket.setsockopt does."""
        self._socket.setsockopt(level, option, value)

    def send(self, data: bytes | memoryview) -> int:
        """Send all of `data`, and return its length.  Raises ssl.SSLWantWriteError, or OSError.

        After an SSLWantWriteError the next `data` has to begin with the same bytes; only these count then.
        """
        if self._rest:
            self._send_rest()
        if not self._taken:
            self._taken = len(data)
            self._rest = self._session.encrypt(data)
            self._send_rest()
        taken, self._taken = self._taken, 0
        return taken

    def _send_rest(self) -> None:
        """Send what was encrypted before.  Raises ssl.SSLWantWriteError if the socket does not take all of it."""
        if len(self._rest) <= _NOW_BYTES:
            sent = send_now(self._socket.fileno(), self._rest)
        else:
            with suppress(BlockingIOError):
                sent = 0
                sent = self._socket.send(self._rest)
        self._rest = self._rest[sent:]
        if self._rest:
            raise ssl.SSLWantWriteError

    def receive_now(self, receiver: InputReceiver) -> bytes | None:
        """Return the input, decrypted; b"" if the client has ended it, None if no whole record has come.

        Raises OSError.
        """
        received = receiver.receive_now(self._socket.fileno())
        if not received:
            return received
        data = self._session.decrypt(received)
        if self._session.output:
            self._send_output()
        return data

    def _send_output(self) -> None:
        """Send what OpenSSL wants to send by itself, behind what waits already.  Raises OSError."""
        if self._rest:
            if self._session.output > _OUTPUT_MAX:
                raise ConnectionAbortedError
            return
        self._rest = self._session.encrypt(b"")
        with suppress(ssl.SSLWantWriteError):
            self._send_rest()

    def shutdown(self, how: int) -> None:
        """Tell the client that nothing more comes, then as socket.socket has it."""
        if how != socket.SHUT_RD and not self._rest:
            with suppress(OSError):
                send_now(self._socket.fileno(), self._session.end())
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
