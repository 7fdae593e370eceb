"""The settings of a server over TLS: a certificate and its key, TLS 1.2 or later, and HTTP/1.1."""

import ssl
from pathlib import Path


class CertificateRefused(Exception):
    """The certificate or its key cannot be used; says why, in words."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Read a certificate, with its chain behind it, and its key; both are PEM.  Raises CertificateRefused."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION  # a client could have the key used again and again
    context.set_alpn_protocols(["http/1.1"])
    for path in (certificate, key):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except _Encrypted:
        raise CertificateRefused(f"{key} is encrypted. Store the key without a password.") from None
    except ssl.SSLError as error:
        raise CertificateRefused(_in_words(certificate, key, error)) from None
    except OSError as error:
        raise CertificateRefused(f"{certificate} and {key} cannot be read: {error.strerror}") from None
    return context


class _Encrypted(Exception):
    """OpenSSL has asked for a password."""


def _no_password() -> str:
    """Refuse to ask somebody at the terminal."""
    raise _Encrypted


def _check_readable(path: Path) -> None:
    """Raises CertificateRefused, which names the one file of the two that cannot be read."""
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise CertificateRefused(f"{path} cannot be read: {error.strerror}") from None


def _in_words(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key} is not the key of the certificate in {certificate}"
    return f"{certificate} and {key} are not a certificate and its key in PEM ({error.reason or error.strerror})"
