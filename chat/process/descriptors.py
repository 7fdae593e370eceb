"""The descriptors of this process: how many there may be, and the three standard ones."""

import os
import resource
from typing import Final

from raft.errors import StartRefused

DESCRIPTORS_MIN: Final = 128  # what Limits.spare_descriptors keeps free, and as many connections


def raise_limit() -> None:
    """Raise the limit as far as this user may: a connection is a descriptor.  Raises StartRefused: it is too low."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < DESCRIPTORS_MIN:
        raise StartRefused(
            f"only {most} open files are allowed, and a node needs {DESCRIPTORS_MIN}. "
            "Raise the limit: ulimit -n, or LimitNOFILE= in a systemd unit."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_standard() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed.

    Otherwise files of the log get these numbers, and what the interpreter writes there as it fails lands in the log.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
