"""Encrypt and decrypt a little without letting go of the interpreter's lock (the GIL).

The ssl module lets other threads run during each read and write.  That takes 2 to 5 µs, and then the thread has to wait
until another one lets it go on.  So TLS cost 60 % of the reads a second, and 26 % of the posts.  Without that it cost
10 to 35 % of the reads and 13 to 33 % of the posts, in four runs on two busy cores.  Like the sockets
(`chat/server/sockets.py`), OpenSSL is called through ctypes.PyDLL.

That needs the address of OpenSSL's session, which the ssl module has but does not tell.  `address_of` reads it from the
module's object, and only where the field behind it is what it has to be: the address of the context.  Anywhere else
(another Python, an OpenSSL that is linked in) it is 0, and the ssl module's own methods do.
"""

import _ssl
import ctypes
import ssl
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

MOST_BYTES: Final = 16 * 1024  # at a time: a record, some microseconds
_POINTER_BYTES: Final = ctypes.sizeof(ctypes.c_void_p)


class _Buffer(threading.local):
    """A buffer to decrypt into, one for each thread."""

    def __init__(self) -> None:
        buffer = ctypes.create_string_buffer(MOST_BYTES)
        self.address = ctypes.addressof(buffer)
        self.view = memoryview(buffer)


class _Functions(NamedTuple):
    """OpenSSL's own."""

    read: Callable[[int, int, int], int]
    write: Callable[[int, bytes, int], int]
    forget_errors: Callable[[], None]


def _find_functions() -> _Functions | None:
    """Find the functions in the library that the ssl module uses."""
    try:
        library = ctypes.PyDLL(_ssl.__file__)
        functions = _Functions(library.SSL_read, library.SSL_write, library.ERR_clear_error)
    except (AttributeError, OSError):  # the ssl module is a part of the interpreter, or hides what it uses
        return None
    library.SSL_read.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)
    library.SSL_write.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int)
    library.ERR_clear_error.restype = None
    return functions


_buffer = _Buffer()
_functions = _find_functions()


def address_of(tls: ssl.SSLObject) -> int:
    """The address of the OpenSSL session of `tls`, for `read` and `write`; 0 where it is not known.

    It is good as long as `tls` is.
    """
    inner = getattr(tls, "_sslobj", None)
    head = object.__basicsize__
    if _functions is None or type(inner).__basicsize__ < head + 3 * _POINTER_BYTES:
        return 0
    # PySSLSocket in Modules/_ssl.c: PyObject *Socket; SSL *ssl; PySSLContext *ctx;
    _, address, context = (ctypes.c_void_p * 3).from_address(id(inner) + head)
    return address or 0 if context == id(tls.context) else 0


def read(tls: ssl.SSLObject, address: int, size: int) -> bytes:
    """Read as `tls.read(size)` does."""
    if address and 0 < size <= MOST_BYTES:
        assert _functions is not None
        count = _functions.read(address, _buffer.address, size)
        if count > 0:
            return _buffer.view[:count].tobytes()
        _functions.forget_errors()  # it is asked again, and says why
    return tls.read(size)


def write(tls: ssl.SSLObject, address: int, data: bytes | memoryview) -> None:
    """Write all of `data`, as `tls.write(data)` does."""
    if address and isinstance(data, bytes) and len(data) <= MOST_BYTES:
        assert _functions is not None
        if _functions.write(address, data, len(data)) > 0:
            return
        _functions.forget_errors()
    tls.write(data)
