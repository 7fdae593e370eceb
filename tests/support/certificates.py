"""Certificates for tests: one CA and one certificate of this machine, made once by `raft-chat cert`."""

import atexit
import os
import shutil
import ssl
import tempfile
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

from chat.cli import cert
from chat.server.tls.certificate import server_context


@cache
def certificates() -> Path:
    """A directory with ca.crt, and 127.0.0.1.crt and .key."""
    directory = Path(tempfile.mkdtemp(prefix="raft-chat-certificates-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        assert cert.main(["--hosts", "127.0.0.1", "--output", str(directory)], {}) == 0
    return directory


def own_context() -> ssl.SSLContext:
    """What a server of this machine shows."""
    return server_context(certificates() / "127.0.0.1.crt", certificates() / "127.0.0.1.key")


def client_context(**settings: ssl.TLSVersion) -> ssl.SSLContext:
    """What a client believes that knows the CA; `settings` are set on the context."""
    context = ssl.create_default_context(cafile=certificates() / "ca.crt")
    for name, value in settings.items():
        setattr(context, name, value)
    return context
