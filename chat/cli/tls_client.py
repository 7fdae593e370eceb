"""TLS of the commands that speak to a node: whom they believe, and a socket that two threads can use.

Rules
- A node is believed by the certificates of `--ca`, or by those of this system, and by the name in its URL.
- The node of a data directory on this machine is believed by its certificate file, which operator.json names: its local
  URL may have a name that is in no certificate.
- OpenSSL is not for two threads at once, and one thread reads while another sends.  So each call that uses it holds a
  lock, and waits for the socket without that.
"""

import argparse
import select
import socket
import ssl
import threading
from collections.abc import Mapping
from http.client import HTTPSConnection
from typing import Final

from chat.cli.option_table import OptionRefused
from chat.cli.options import PREFIX, refuse_control_characters

BEGIN_S: Final = 10.0  # to connect and to shake hands
RECORD_BYTES: Final = 16 * 1024  # what is read at once has to be no less: a selector does not see what is left behind
_PEM_END: Final = "-----END CERTIFICATE-----"


class WrongCertificate(OSError):
    """A node showed another certificate than the one in its file."""


def add_ca(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    """The option `--ca`."""
    text = "believe nodes whose certificate is by one of the CAs in this file (default: those of this system)"
    parser.add_argument("--ca", metavar="FILE", default=environment.get(f"{PREFIX}CA", ""), help=text)


def context_of(ca: str) -> ssl.SSLContext:
    """Make the context that believes the authorities of `--ca`; "": those of this system.  Raises OptionRefused."""
    try:
        return ssl.create_default_context(cafile=refuse_control_characters("ca", ca) or None)
    except ssl.SSLError:
        raise OptionRefused(f"--ca: {ca!r} holds no certificate in PEM") from None
    except OSError as error:
        raise OptionRefused(f"--ca: {ca!r} cannot be read: {error.strerror}") from None


def not_believed(url: str, error: ssl.SSLCertVerificationError) -> str:
    """The words for a node whose certificate is not believed."""
    reason = error.verify_message.rstrip(".")
    return f"The certificate of {url} is not valid: {reason}. Name the file of the CA that issued it with --ca."


class PinnedConnection(HTTPSConnection):
    """A connection to a node that shows the certificate in `file`, whatever name it has."""

    def __init__(self, host: str, port: int | None, *, timeout: float, file: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # `connect` compares it
        super().__init__(host, port, timeout=timeout, context=context)
        self._file = file

    def connect(self) -> None:
        """Connect.  Raises WrongCertificate, or another OSError."""
        super().connect()
        assert isinstance(self.sock, ssl.SSLSocket)
        _check_certificate(self.sock.getpeercert(binary_form=True), self._file)


def _check_certificate(shown: bytes | None, path: str) -> None:
    """Raises WrongCertificate unless the file begins with the certificate that was shown."""
    try:
        with open(path, encoding="ascii") as file:
            expected = ssl.PEM_cert_to_DER_cert(_first_certificate(file.read()))
    except (OSError, ValueError):
        raise WrongCertificate from None
    if shown != expected:
        raise WrongCertificate


def _first_certificate(text: str) -> str:
    """The first certificate of a file in PEM: the node's own.  Raises ValueError."""
    begin, end = text.index("-----BEGIN CERTIFICATE-----"), text.index(_PEM_END)
    return text[begin : end + len(_PEM_END)]


class SharedContext:
    """A maker of TlsSockets, used in place of an ssl.SSLContext."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_socket(self, connected: socket.socket, *, server_hostname: str) -> "TlsSocket":
        """A socket over TLS, not connected yet."""
        return TlsSocket(self._context.wrap_socket(connected, server_hostname=server_hostname))


class TlsSocket:
    """A socket over TLS, of which one thread may read while others send."""

    def __init__(self, wrapped: ssl.SSLSocket) -> None:
        self._wrapped = wrapped
        self._lock = threading.Lock()

    def fileno(self) -> int:
        """The descriptor, to wait for input."""
        return self._wrapped.fileno()

    def connect(self, address: tuple[str, int]) -> None:
        """Connect and shake hands.  Raises OSError."""
        try:
            self._wrapped.settimeout(BEGIN_S)
            self._wrapped.connect(address)
            self._wrapped.setblocking(False)
        except OSError:
            self._wrapped.close()  # the caller has lost it
            raise

    def recv(self, size: int) -> bytes:
        """Wait for input, and return it; b"" if the node has ended it.  Raises OSError."""
        while True:
            try:
                with self._lock:
                    return self._wrapped.recv(size)
            except ssl.SSLWantReadError:
                select.select([self._wrapped], [], [])
            except ssl.SSLWantWriteError:
                select.select([], [self._wrapped], [])

    def send(self, data: bytes) -> int:
        """Send all of `data`.  Raises OSError."""
        while True:
            try:
                with self._lock:
                    return self._wrapped.send(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([], [self._wrapped], [])

    def close(self) -> None:
        """Close the socket."""
        self._wrapped.close()
