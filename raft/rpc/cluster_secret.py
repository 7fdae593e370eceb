"""The cluster's secret: the keys in the file of --cluster-secret-file, and what this node proves with them.

Rules
- A file has one or two keys, one a line.  This node proves and accepts both, and prefers the first where the other node
  has both too.  So a key can be replaced on one node after the other, in any order.
- A file that others may read, or with a short key, is refused: at a reload the earlier keys stay then.
- A connection ends with its key.  The node that connects looks before each call; the node that serves refuses the next
  call, and says so under the session's key, so that the call is made again on a new connection.
- With --accept-unsigned-peers a peer without a secret is called without a proof, and tried again once in a while.
"""

import codecs
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from raft.errors import StartRefused
from raft.rpc.handshake import KEYS_MAX, Claim, Described, Key, digest_of

logger = logging.getLogger(__name__)

KEY_POINTS_MIN = 32  # 32 characters of base64 are 192 bits
FILE_BYTES_MAX = 4_096
MAKE_ONE = "make one with: head -c 32 /dev/urandom | base64"
TRY_AGAIN_S = 10.0  # until a peer without a secret is asked for one again
WARN_EVERY_S = 60.0


def read_keys(path: Path) -> list[bytes]:
    """Return the keys in a file, the preferred one first.  Raises ValueError, which says what is wrong."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if mode & stat.S_IRWXO and stat.S_ISREG(mode):
        raise ValueError(f"{path} can be read by every user of this machine: chmod o-rwx {path}")
    lines = content.removeprefix(
        codecs.BOM_UTF8
    ).splitlines()  # some editors put a byte order mark before all they save
    keys = [line.strip() for line in lines if line.strip()]
    if len(content) > FILE_BYTES_MAX or not 1 <= len(keys) <= KEYS_MAX:
        raise ValueError(f"{path} has to hold one key, or two in two lines while you replace one; {MAKE_ONE}")
    if min(map(len, keys)) < KEY_POINTS_MIN:
        raise ValueError(f"{path} holds a key of fewer than {KEY_POINTS_MIN} characters; {MAKE_ONE}")
    if len(set(keys)) < len(keys):
        raise ValueError(f"{path} holds the same key twice")
    return keys


class ClusterSecret:
    """The keys of this node, and the identity that it proves with them.  Thread-safe."""

    def __init__(self, path: Path, own: Callable[[], Described], *, accepts_unsigned: bool = False) -> None:
        """`own` describes this node.  `accepts_unsigned`: --accept-unsigned-peers.  Raises StartRefused."""
        self._path = path
        self._own = own
        self.accepts_unsigned = accepts_unsigned
        self._by_text: dict[bytes, Key] = {}
        self._asked_s: dict[int, float] = {}  # by member without a secret: when it was last asked for one
        try:
            self.keys = self._read()
        except ValueError as error:
            raise StartRefused(f"--cluster-secret-file: {error}") from None

    def reload(self) -> None:
        """Read the file again; a key that stays is the same object.  A file that cannot be used changes nothing."""
        try:
            keys = self._read()
        except ValueError as error:
            logger.error("--cluster-secret-file: %s; the earlier keys stay in force", error)
            return
        if keys == self.keys:
            logger.info("the cluster secret is the same as before")
            return
        self.keys = keys
        logger.info("the cluster secret was read again; keys accepted: %d", len(keys))

    def claim(self) -> Claim:
        """Return this node's identity, as it proves it."""
        own = self._own()
        return Claim(own.id, own.cluster_id, digest_of(own.incarnation))

    def calls_unsigned(self, member: int) -> bool:
        """Return whether this member was lately found to have no secret."""
        return self.accepts_unsigned and time.monotonic() - self._asked_s.get(member, -TRY_AGAIN_S) < TRY_AGAIN_S

    def note_unsigned(self, member: int) -> None:
        """Note that this member has no secret."""
        self._asked_s[member] = time.monotonic()

    def note_signed(self, member: int) -> None:
        """Note that this member has a secret."""
        self._asked_s.pop(member, None)

    def _read(self) -> tuple[Key, ...]:
        self._by_text = {text: self._by_text.get(text) or Key(text) for text in read_keys(self._path)}
        return tuple(self._by_text.values())

    def warn_of_unsigned(self, stopped: threading.Event) -> None:
        """Run the thread that warns of --accept-unsigned-peers."""
        while not stopped.is_set():
            logger.warning(
                "--accept-unsigned-peers: whoever reaches the peer port of this node can change the cluster. "
                "Restart without this option once every node has the secret."
            )
            stopped.wait(WARN_EVERY_S)
