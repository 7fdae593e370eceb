"""Certificates of nodes, made with `raft-chat cert`."""

from pathlib import Path
from typing import NamedTuple

from chat.cli import cert


class Files(NamedTuple):
    """The files of --peer-cert, --peer-key and --peer-ca."""

    certificate: Path
    key: Path
    authority: Path

    def flags(self) -> tuple[str, ...]:
        return ("--peer-cert", str(self.certificate), "--peer-key", str(self.key), "--peer-ca", str(self.authority))


def make_certificates(directory: Path, *hosts: str) -> list[Files]:
    """The files of members 1, 2 …, on these hosts, by an authority of their own."""
    assert cert.main(["--hosts", ",".join(hosts), "--output", str(directory)], {}) == 0
    made = []
    for number, host in enumerate(hosts, start=1):
        name = f"{host}-{number}" if hosts.count(host) > 1 else host
        made.append(Files(directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt"))
    return made
