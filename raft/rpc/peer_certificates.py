"""The certificates of nodes: mutual TLS between peers, and the member that a certificate is good for.

Rules
- Both ends of a connection show a certificate that the authority of --peer-ca has signed.
- A certificate is bound to its member: it names the host of the URL at which this node knows the member.  Where it also
  has names like `urn:raft-chat:member:2`, one of them has to be the member's.  So members on one host are told apart.
- The host of a member that calls is looked up in the membership, and in --cluster before there is one.
- A reload makes new contexts, for new connections; files that cannot be used leave the earlier ones in force.
"""

import logging
import ssl
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raft.errors import StartRefused, UnprovedPeer
from raft.rpc.handshake import Described

logger = logging.getLogger(__name__)

MEMBER_URI = "urn:raft-chat:member:"
FLAGS = "--peer-cert, --peer-key and --peer-ca"
# The words that OpenSSL has for a peer that speaks plain HTTP.
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_EOF_WHILE_READING"}


class CertifiedPeer:
    """The member whose certificate this end of a connection has checked."""

    def __init__(self, member: int) -> None:
        self._member = member

    def check(self, sender: Described) -> None:
        """Check that an answer comes from that member.  Raises UnprovedPeer."""
        if sender.id != self._member:
            raise UnprovedPeer(f"from: member {sender.id}, on a connection to member {self._member}")


class PeerCertificates:
    """The node's own certificate, and the check of other nodes' certificates.  Thread-safe."""

    def __init__(self, certificate: Path, key: Path, authority: Path, url_of: Callable[[int], str]) -> None:
        """`url_of(id)` is the URL of a member, "" if it is not known; RefusedPeer if it was removed.

        Raises StartRefused.
        """
        self._certificate, self._key, self._authority = certificate, key, authority
        self._url_of = url_of
        try:
            self.server_context, self.client_context = self._contexts()
        except ValueError as error:
            raise StartRefused(str(error)) from None

    def reload(self) -> None:
        """Read the files again."""
        try:
            self.server_context, self.client_context = self._contexts()
        except ValueError as error:
            logger.error("%s; the earlier certificates of peers stay in force", error)
        else:
            logger.info("the certificates of peers were read again")

    def wrap(self, peer: Any, host: str, member: int) -> ssl.SSLSocket:
        """Shake hands with the member that a connected socket leads to.  Raises OSError, UnprovedPeer."""
        wrapped = self.client_context.wrap_socket(peer, server_hostname=host.partition("%")[0])
        try:
            _check_member(wrapped.getpeercert() or {}, member)
        except UnprovedPeer:
            wrapped.close()
            raise
        return wrapped

    def check_caller(self, certificate: Mapping[str, Any], sender: Described) -> None:
        """Check that a call comes from the member that the certificate is good for.

        Raises UnprovedPeer, and RefusedPeer: the member was removed, which it may be told.
        """
        url = self._url_of(sender.id)
        if not url:
            told = f"member {sender.id} is not known here: compare --cluster, or POST its URL to /raft/{sender.id}"
            raise UnprovedPeer(told)
        host = urlsplit(url).hostname or ""
        if not _names_host(certificate, host):
            raise UnprovedPeer(f"the certificate of member {sender.id} does not name its host, {host}")
        _check_member(certificate, sender.id)

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """Return new contexts for the server and the client.  Raises ValueError, which says what is wrong."""
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            self._load(context)
        server.options |= ssl.OP_NO_RENEGOTIATION  # a client could have the key used again and again
        client.hostname_checks_common_name = False  # a server would accept no such certificate of a caller
        server.num_tickets = 0  # they would wait unread on an idle connection, which then looks ended
        return server, client

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            # The password is never asked for on a terminal: nobody may be there.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        except OSError as error:
            raise ValueError(f"--peer-cert {self._certificate}, --peer-key {self._key}: {_reason(error)}") from None
        try:
            context.load_verify_locations(self._authority)
        except OSError as error:
            raise ValueError(f"--peer-ca {self._authority}: {_reason(error)}") from None


def words(error: ssl.SSLError) -> str:
    """Return what an operator can do about a connection that failed in TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted here: {error.verify_message}"
    if error.reason in _NO_TLS:
        return f"it speaks no TLS, or broke off: start it with {FLAGS}"
    return f"it refuses this node's certificate or TLS: {error.reason}"


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not a certificate with its key in PEM ({error.reason})"
    return error.strerror or str(error)


def _check_member(certificate: Mapping[str, Any], member: int) -> None:
    uris = {name.lower() for kind, name in _names(certificate) if kind == "URI"}  # RFC 8141 §3.1
    members = {name for name in uris if name.startswith(MEMBER_URI)}
    if members and f"{MEMBER_URI}{member}" not in members:
        raise UnprovedPeer(f"its certificate is that of {', '.join(sorted(members))}, not of member {member}")


def _names_host(certificate: Mapping[str, Any], host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        names = {name.lower() for kind, name in _names(certificate) if kind == "DNS"}
        return bool(names & {host.lower(), f"*.{host.lower().partition('.')[2]}"})
    return any(kind == "IP Address" and ip_address(name.strip()) == address for kind, name in _names(certificate))


def _names(certificate: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return the alternative names of a certificate: (kind, name)."""
    names: tuple[tuple[str, str], ...] = certificate.get("subjectAltName", ())
    return names
