"""The TLS of one connection, without its socket: encrypted bytes in and out of memory (ssl.SSLObject, two MemoryBIOs).

Rules
- Not for two threads at once: whoever owns the session has a lock, or is the only thread.
- `decrypt` takes out all that can be decrypted.  A poll of the socket would not show what is left behind in here.
- A client that sends much and says little is cut: a new key for the session (KeyUpdate) is 27 bytes, and costs 25 µs.
- What OpenSSL wants to send by itself (an alert, a new key) waits in `output` for whoever sends next.
"""

import ssl
from typing import Final

from chat.server.tls import openssl

RECORD_BYTES: Final = 16 * 1024  # the most that a record holds, decrypted (RFC 8446 §5.1)
WIRE_BYTES_EACH: Final = 32  # for a decrypted byte: a record of one byte is 23 to 30
WIRE_BYTES_MAX: Final = 20 * 1024  # beyond that: a whole record, of which the last byte has not come, and keys


class TlsSession:
    """The server's side of one TLS connection."""

    __slots__ = ("_address", "_has_part", "_incoming", "_outgoing", "_tls", "_unpaid")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._address = 0  # for openssl.py, once hands are shaken
        self._has_part = False  # OpenSSL has taken in a part of a record
        self._unpaid = 0  # bytes on the wire that no decrypted ones stand for

    def shake_hands(self, received: bytes) -> bool:
        """Take a step of the handshake, and return whether it is done.  Raises ssl.SSLError: it has failed."""
        self._incoming.write(received)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self._address = openssl.address_of(self._tls)
        return True

    def decrypt(self, received: bytes) -> bytes | None:
        """Return what these bytes complete, None if that is nothing; b"" if the client has ended the session.

        Raises ssl.SSLError if they are no TLS, were changed on the way, or go on and on without saying anything.
        """
        data = self._decrypt(received)
        self._unpaid = max(0, self._unpaid + len(received) - WIRE_BYTES_EACH * len(data or b""))
        if self._unpaid > WIRE_BYTES_MAX:
            raise ssl.SSLError("the client sends records without data")
        return data

    def _decrypt(self, received: bytes) -> bytes | None:
        if received:
            self._incoming.write(received)
        data: bytes | None = None
        try:
            while True:
                # No more is allocated than what came can hold; with that the record at its end is taken out whole.
                size = RECORD_BYTES if self._has_part else self._incoming.pending
                self._has_part = True
                piece = openssl.read(self._tls, self._address, size or 1)
                if not piece:
                    return data or b""
                self._has_part = False
                data = piece if data is None else data + piece
                if not self._incoming.pending:
                    return data
        except ssl.SSLWantReadError:
            return data
        except ssl.SSLZeroReturnError:
            return data or b""

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Return these bytes, encrypted, behind what OpenSSL wants to send.  Raises ssl.SSLError."""
        if data:
            openssl.write(self._tls, self._address, data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """Return the bytes that tell the client that nothing more comes (close_notify)."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # it waits for the client's own, which does not matter
            pass
        except OSError:  # there was no handshake, or the client is gone
            pass
        return self._outgoing.read()

    @property
    def output(self) -> int:
        """The number of bytes that OpenSSL wants to send by itself."""
        return self._outgoing.pending

    def peer_certificate(self) -> dict[str, object]:
        """The client's certificate, as ssl.SSLSocket.getpeercert has it; {} if it has shown none."""
        return dict(self._tls.getpeercert() or {})
