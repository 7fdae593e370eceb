"""What the faults need of the machine: root, namespaces, and some of Debian's tools.

Where one is missing a test is skipped; where CI is set to "true" it fails, for there a skip would be a test that nobody
runs any more.
"""

import os
import subprocess

from tests.support.tools import absent, require

NETWORK = ("ip", "iptables-restore", "nsenter", "setpriv")
DISK = ("strace", "setpriv", "mount", "umount")
POWER = ("mkfs.ext4", "e2fsck", "mount", "umount", "setpriv")
LIBFAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"


def missing(tools: tuple[str, ...]) -> list[str]:
    """What of it is not there, in words."""
    lacking = absent(*tools)
    if os.geteuid() != 0:
        lacking.append("root")
    elif subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode:
        lacking.append("namespaces")
    return lacking


def need(tools: tuple[str, ...]) -> None:
    """Skip the test that asks, or with CI=true fail it, where something is missing."""
    require(missing(tools))


def run(*command: str, input: str | None = None) -> str:
    """What a command prints; AssertionError with what it complained of, where it fails."""
    done = subprocess.run(command, input=input, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
