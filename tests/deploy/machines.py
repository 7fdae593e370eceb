"""Machines that are namespaces: each with a real systemd as its process 1, its own network, /etc, /opt, /var and /run.

Each machine has the programs of the machine below.  Its own files are in memory, and gone with it.  The `Desk` is the
computer of a person who reaches the machines by ssh.  It has all files of the machine below, but writes only its own.
The `ssh` and `scp` of the desk enter a machine directly, without a network and a password.
"""

import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.faults.leftovers import NAME, new_name
from tests.faults.network import Network
from tests.support.cluster import ROOT, environment
from tests.support.waiting import wait_until

SYSTEMD = Path("/lib/systemd/systemd")
TOOLS = ("bash", "ip", "nsenter", "unshare", "setpriv", "mount", "systemctl", "openssl", "curl", "tar")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as a new machine has it
DEADLINE_S = 20
LOG = "/run/raft-chat.log"
_CGROUPS = Path("/sys/fs/cgroup")
_IS_UNIFIED = (_CGROUPS / "cgroup.controllers").exists()

# Each directory keeps what it has, and gets what is written; nothing of that reaches the machine below.
_OVERLAYS = """
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for place in {places}; do
    mkdir -p /mnt/$place/upper /mnt/$place/work
    mount -t overlay overlay -o "lowerdir=$place,upperdir=/mnt/$place/upper,workdir=/mnt/$place/work" "$place"
done
"""
# The unit's dependencies on a network and a journal are met by what is around a machine.
_MACHINE = """
set -e
{overlays}
mount -t tmpfs tmpfs /run
mkdir /mnt/dev
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /mnt/dev/
ln -s /proc/self/fd /mnt/dev/fd
umount -R /dev
mount -t tmpfs tmpfs /dev
cp -a /mnt/dev/. /dev
mkdir /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup
{cgroups}
rm -rf /etc/systemd/system /etc/raft-chat /opt/raft-chat
mkdir -p /etc/systemd/system/raft-chat.service.d
: > /etc/machine-id
printf '[Unit]\\nDefaultDependencies=no\\n' > /etc/systemd/system/machine.target
cat > /etc/systemd/system/raft-chat.service.d/machine.conf <<END
[Unit]
DefaultDependencies=no
Wants=
After=
[Service]
StandardOutput=append:{log}
StandardError=append:{log}
END
mount --make-rshared /
exec env -i container=podman PATH={path} {systemd} --system --unit=machine.target --show-status=no --log-target=null
"""
_MOUNT_CGROUPS = (
    "mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    if _IS_UNIFIED
    else "mount -t tmpfs tmpfs /sys/fs/cgroup && mkdir /sys/fs/cgroup/systemd && "
    "mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd"
)
_SSH = """#!/bin/bash
# ssh [-OPTIONS] root@HOST COMMAND…
while [[ $1 == -* ]]; do shift; done
pid=$(cat {directory}/"${{1#root@}}") || exit 255
exec nsenter --target "$pid" --mount --pid --net --ipc --uts --wd=/root -- \\
    env -i HOME=/root PATH={path} bash -c "${{*:2}}"
"""
_SCP = """#!/bin/bash
# scp [-OPTIONS] FILE… root@HOST:PLACE
while [[ $1 == -* ]]; do shift; done
to=${{*: -1}}
for file in "${{@:1:$#-1}}"; do
    place=${{to#*:}}
    [[ $place == */ ]] && place+=${{file##*/}}
    ssh "${{to%%:*}}" "cat > $place && chmod $(stat --format=%a "$file") $place" < "$file" || exit 1
done
"""


class Machine:
    """One machine: a systemd in namespaces of its own."""

    def __init__(self, name: str, network: Network, id: int) -> None:
        self.address = network.address(id)
        self._inside = network.inside(id)
        self._cgroup = (_CGROUPS if _IS_UNIFIED else _CGROUPS / "systemd") / f"{name}-{id}"
        self._process: subprocess.Popen[bytes] | None = None
        self.pid = 0  # of its systemd, as seen from here

    def start(self) -> None:
        self._cgroup.mkdir()
        script = _MACHINE.format(
            overlays=_OVERLAYS.format(places="/etc /opt /root /var"), cgroups=_MOUNT_CGROUPS, log=LOG, path=PATH,
            systemd=SYSTEMD,
        )  # fmt: skip
        enter = f'echo $$ > {self._cgroup}/cgroup.procs; exec "$@"'
        self._process = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", "--", *self._inside, "bash", "-c", enter, "-", "unshare", "--fork",
                "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "bash", "-c", script,
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def wait_up(self) -> None:
        """Wait until its systemd takes orders."""
        process = self._process
        assert process is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

        def is_up() -> bool:
            assert process.poll() is None, f"the machine ended with {process.returncode}"
            self.pid = int((children.read_text().split() or ["0"])[0])
            return bool(self.pid) and Path(f"/proc/{self.pid}/root/run/systemd/private").exists()

        wait_until(is_up, DEADLINE_S, "systemd is up")

    def run(self, *command: str) -> str:
        """Run a command on this machine, and return its output.  Raises AssertionError if it fails."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--net", "--ipc", "--uts", "--wd=/root", "--",
             "env", "-i", "HOME=/root", f"PATH={PATH}", *command],
            capture_output=True, text=True, timeout=DEADLINE_S,
        )  # fmt: skip
        assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def read(self, path: str) -> str:
        """A file of this machine; "" where there is none."""
        file = Path(f"/proc/{self.pid}/root{path}")
        return file.read_text(errors="replace") if file.exists() else ""

    def close(self) -> None:
        """Cut the power."""
        if self._process is not None:
            if self.pid:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)  # and with it all that runs there
            self._process.kill()
            self._process.wait()
        _remove_cgroup(self._cgroup)


class Machines:
    """Some machines on a network of their own, and the desk; use it as a context manager."""

    def __init__(self, directory: Path, count: int = 3) -> None:
        self._directory = directory
        self._network = Network(range(1, count + 1))
        self._count = count
        self.machines: list[Machine] = []
        self.desk = Desk(directory)

    def __enter__(self) -> "Machines":
        _sweep()
        self._network.__enter__()
        name = new_name()
        try:
            for id in self._network.ids:
                self.machines.append(Machine(name, self._network, id))
                self.machines[-1].start()
            for machine in self.machines:
                machine.wait_up()
                (self.desk.hosts / machine.address).write_text(str(machine.pid))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            for machine in self.machines:
                state = machine.run("bash", "-c", "systemctl status raft-chat 2>&1 || true")
                sys.stderr.write(f"--- {machine.address}\n{state}\n{machine.read(LOG)[-4000:]}")
        for machine in self.machines:
            machine.close()
        self._network.__exit__(kind, error, at)


class Desk:
    """The computer of a person with a checkout who reaches the machines by ssh."""

    def __init__(self, directory: Path) -> None:
        self.hosts = directory / "hosts"
        self.hosts.mkdir()
        self._bin = directory / "bin"
        self._bin.mkdir()
        for name, text in (("ssh", _SSH), ("scp", _SCP)):
            path = self._bin / name
            path.write_text(text.format(directory=self.hosts, path=PATH))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def run(self, script: str, deadline_s: float, more: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Have bash do all of it, in the checkout; what it prints of both kinds is its output."""
        here = "set -e\n" + _OVERLAYS.format(places=f"/opt {ROOT}") + f"cd {ROOT}\n"
        return subprocess.run(
            ["unshare", "--mount", "bash", "-c", here + script],
            env={**environment(), "PATH": f"{self._bin}:{PATH}", **more},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=deadline_s,
        )  # fmt: skip


def missing() -> Sequence[str]:
    """The tools that the machine below lacks."""
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    return lacking if SYSTEMD.exists() else [*lacking, "systemd"]


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those in it, once the kernel has let their last process go."""

    def is_gone() -> bool:
        with suppress(OSError):
            for directory, _, _ in os.walk(path, topdown=False):
                os.rmdir(directory)
        return not path.exists()

    wait_until(is_gone, DEADLINE_S, f"{path} is gone")


def _sweep() -> None:
    """Remove the cgroups of runs that are no more."""
    for path in (_CGROUPS if _IS_UNIFIED else _CGROUPS / "systemd").iterdir():
        found = NAME.match(path.name)
        if found and not Path("/proc", found["pid"]).exists():
            _remove_cgroup(path)
