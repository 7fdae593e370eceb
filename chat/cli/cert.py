"""raft-chat cert: make a small certificate authority, and a certificate for each host, with the `openssl` program.

Rules
- A certificate is good for clients (TLS) and for the other nodes (mutual TLS).  It names its host, this machine itself
  (localhost, for the node's own commands), and the member's id as `urn:raft-chat:member:N`.
- Nothing is overwritten.  An authority that is there is used again, and so a host can be added later.
- Files are made in a directory beside their place, and linked to their names when all of them are there.
"""

import ipaddress
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from chat.cli.node_client import CommandFailed, sub_parser
from chat.cli.option_table import OptionRefused
from chat.cli.options import refuse_control_characters
from raft.core.configuration import MEMBERS_MAX

AUTHORITY_DAYS: Final = 3650
CERTIFICATE_DAYS: Final = 825  # the longest that Apple's systems accept of a private authority
OPENSSL_S: Final = 60.0  # a key takes milliseconds, and a machine without entropy some seconds
MEMBER_URI: Final = "urn:raft-chat:member:"
AUTHORITY: Final = "ca"

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-sha256")  # all clients know P-256

_CONFIG = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[host]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class _Host(NamedTuple):
    """A host: its name or address, the id of its member, and the name of its files without the suffix."""

    name: str
    is_address: bool
    member: int
    file_name: str

    @property
    def alternative_names(self) -> str:
        """The names that its certificate is good for, as openssl takes them."""
        own = f"{'IP' if self.is_address else 'DNS'}:{self.name}"
        names = (own, "DNS:localhost", "IP:127.0.0.1", "IP:::1", f"URI:{MEMBER_URI}{self.member}")
        return ", ".join(dict.fromkeys(names))


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The sub-command; its exit code.  Raises CommandFailed or OptionRefused."""
    text = "Make a small certificate authority (CA) and a certificate for each host.  Needs the program openssl."
    parser = sub_parser("cert", text)
    text = "the nodes' names or addresses, as clients and nodes use them, in the order of --cluster"
    parser.add_argument("--hosts", metavar="A,B,C", required=True, help=text)
    text = "the directory for the files.  A CA that is there is used again, and no file is overwritten"
    parser.add_argument("--output", metavar="DIR", type=Path, required=True, help=text)
    given = parser.parse_args(arguments)
    hosts = _hosts(refuse_control_characters("hosts", given.hosts))
    output = given.output
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-", dir=output) as beside:
            made = _make_all(hosts, output, Path(beside))
    except FileExistsError as error:
        raise CommandFailed(f"{error.filename2 or error.filename} is there already; nothing is overwritten") from None
    except OSError as error:
        raise CommandFailed(f"{error.filename or output}: {error.strerror}") from None
    _tell(hosts, made, output)
    return 0


def _hosts(text: str) -> list[_Host]:
    """The hosts in `text`.  Where one has several nodes, the member's id tells their files apart."""
    checked = [_checked(item.strip()) for item in text.split(",")]
    if len(checked) > MEMBERS_MAX:
        raise OptionRefused(f"--hosts: a cluster has at most {MEMBERS_MAX} members, not {len(checked)}")
    return [
        _Host(name, is_address, member, name.replace(":", "_") + (f"-{member}" if checked.count(found) > 1 else ""))
        for member, found in enumerate(checked, start=1)
        for name, is_address in [found]
    ]


def _checked(text: str) -> tuple[str, bool]:
    """The name or the address of a host, as a certificate has it, and whether it is an address."""
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), True
    except ValueError:
        pass
    try:
        name = text.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    if len(name) > 253 or not all(map(_LABEL.fullmatch, name.split("."))):
        raise OptionRefused(f"--hosts: {text!r} is neither a host's name nor its address, without scheme and port")
    if name == AUTHORITY:
        raise OptionRefused(f"--hosts: {AUTHORITY!r} is the name of the authority's files; give the host's full name")
    return name, False


def _make_all(hosts: Sequence[_Host], output: Path, beside: Path) -> list[_Host]:
    """Make what is missing, and return the hosts that got a certificate.  Raises CommandFailed or OSError."""
    authority = output / f"{AUTHORITY}.crt", output / f"{AUTHORITY}.key"
    missing = [host for host in hosts if not _has_certificate(host, output)]
    if not any(path.exists() for path in authority):
        _make_authority(beside)
        authority = beside / f"{AUTHORITY}.crt", beside / f"{AUTHORITY}.key"
    for path in authority:
        if not path.exists():
            raise CommandFailed(f"{path} is missing. Put it back, or choose another --output.")
    for host in missing:
        _make_certificate(host, beside, *authority)
    for path in sorted(path for path in beside.iterdir() if path.suffix in (".crt", ".key")):
        path.chmod(0o600 if path.suffix == ".key" else 0o644)
        (output / path.name).hardlink_to(path)
    return missing


def _has_certificate(host: _Host, output: Path) -> bool:
    """Return whether this host's certificate is there.  Raises CommandFailed where it is another member's."""
    certificate, key = (output / f"{host.file_name}{suffix}" for suffix in (".crt", ".key"))
    if certificate.exists() != key.exists():
        lacking = key if certificate.exists() else certificate
        raise CommandFailed(f"{lacking} is missing. Put it back, or remove the other file of {host.name}.")
    if not certificate.exists():
        return False
    text = _openssl("x509", "-in", str(certificate), "-noout", "-text")
    if f"URI:{MEMBER_URI}{host.member}" not in re.split(r"[\s,]+", text):
        raise CommandFailed(
            f"{certificate} is not of member {host.member}. Name the hosts in the order of --cluster, "
            "or remove that certificate and its key."
        )
    return True


def _make_authority(beside: Path) -> None:
    config = _config(beside, "raft-chat", "DNS:localhost")
    _openssl(
        "req", "-x509", "-new", *_KEY, "-days", str(AUTHORITY_DAYS), "-config", str(config), "-extensions", "authority",
        "-keyout", str(beside / f"{AUTHORITY}.key"), "-out", str(beside / f"{AUTHORITY}.crt"),
    )  # fmt: skip


def _make_certificate(host: _Host, beside: Path, authority: Path, authority_key: Path) -> None:
    # A name's own field has room for 64 characters, and nobody compares it: the alternative names count.
    config = _config(beside, f"raft-chat member {host.member}", host.alternative_names)
    request = beside / "request.csr"
    _openssl("req", "-new", *_KEY, "-config", str(config),
             "-keyout", str(beside / f"{host.file_name}.key"), "-out", str(request))  # fmt: skip
    _openssl(
        "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key), "-sha256",
        "-CAcreateserial", "-CAserial", str(beside / "serial"), "-days", str(CERTIFICATE_DAYS),
        "-extfile", str(config), "-extensions", "host", "-out", str(beside / f"{host.file_name}.crt"),
    )  # fmt: skip


def _config(beside: Path, common_name: str, names: str) -> Path:
    path = beside / "openssl.cnf"
    path.write_text(_CONFIG.format(common_name=common_name, names=names), encoding="ascii")
    return path


def _openssl(*arguments: str) -> str:
    """Run openssl, and return its output.  Raises CommandFailed."""
    try:
        done = subprocess.run(
            ["openssl", *arguments], capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=OPENSSL_S, umask=0o077,
        )  # fmt: skip
    except FileNotFoundError:
        raise CommandFailed(
            "The program openssl is not installed. Install it (Debian: apt install openssl), or run this on a machine "
            "that has it and copy the files."
        ) from None
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"openssl {arguments[0]} has not ended for {OPENSSL_S:.0f} s.") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise CommandFailed(f"openssl {arguments[0]} failed: {lines[-1]}")
    return done.stdout


def _tell(hosts: Sequence[_Host], made: Sequence[_Host], output: Path) -> None:
    """Print what was made and what to do next."""
    if not made:
        print(f"All {len(hosts)} hosts have a certificate in {output} already.")
        return
    names = ", ".join(host.file_name for host in made)
    print(f"Made certificates for {names} in {output}, valid for {CERTIFICATE_DAYS} days.")
    first, file = made[0], output / made[0].file_name
    print(
        f"""
Copy to each host its own .crt and .key, and {AUTHORITY}.crt. Keep {AUTHORITY}.key to yourself: whoever has it can make
certificates that your clients and nodes believe.

On {first.name}, add these to the node's options:
  for clients:          --cert {file}.crt --key {file}.key
  for the other nodes:  --peer-cert {file}.crt --peer-key {file}.key --peer-ca {output / AUTHORITY}.crt

Clients have to know the CA: curl --cacert {output / AUTHORITY}.crt, raft-chat tail --ca {output / AUTHORITY}.crt,
and a browser once you import {AUTHORITY}.crt there."""
    )
