"""The handshake in which two nodes prove to each other that they have the cluster's secret.  No I/O: bytes to bytes.

    client                                                 server
    Challenge {nonce}                               ->
                                                    <-     ChallengeReply {nonce}
    Prove {source, target, cluster_id,
           incarnation, proofs}                     ->
                                                    <-     ProveReply {source, cluster_id, incarnation, proof}

Rules
- A proof is the HMAC-SHA256, under the secret, of a label, the version, both nonces and all that was said before it.
  Each field goes in with its length, so no two handshakes are the same bytes.
- A node with two secrets, of which one replaces the other, proves both, and the server answers under one that it has.
- The client proves itself first.  A server tells a stranger its nonce, and nothing else.
- `incarnation` is a digest.  The incarnation itself goes only over a connection that both sides have proved.
- Each session has a key of its own, made from the secret and the whole handshake.  Each request and answer then has a
  MAC of the direction, the number of the call and the body, an answer's of its status too.  So a message that is
  changed, repeated, left out, reflected or of another connection has the wrong MAC.
- The MAC of a message is BLAKE2b with a key (RFC 7693), which costs less than HMAC where bodies are short.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from raft.errors import UnprovedPeer

VERSION = 1  # of the handshake and the session
NONCE_BYTES = 32
MAC_BYTES = 32
HANDSHAKE_BYTES_MAX = 1_024  # of each of the four messages
CLUSTER_ID_POINTS_MAX = 128
ID_MAX = 1 << 31
KEYS_MAX = 2  # of a node, while one replaces the other
PIECE_BYTES = 1_984  # hashed at once: from 2,048 on hashlib lets other threads run, and its turn may be 5 ms off,
PIECEWISE_BYTES = 256 << 10  # which is little beside the hashing of more than this
_BLOCK_BYTES = 64  # of SHA-256
_INNER = bytes(byte ^ 0x36 for byte in range(256))  # RFC 2104
_OUTER = bytes(byte ^ 0x5C for byte in range(256))
_HEX = re.compile("[0-9a-f]{64}")

CHALLENGE, CHALLENGE_REPLY, PROVE, PROVE_REPLY = "Challenge", "ChallengeReply", "Prove", "ProveReply"


class Key:
    """A key for HMAC-SHA256, whose two pads are hashed once."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, key: bytes) -> None:
        padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK_BYTES else key).ljust(_BLOCK_BYTES, b"\0")
        self._inner, self._outer = hashlib.sha256(padded.translate(_INNER)), hashlib.sha256(padded.translate(_OUTER))

    def mac(self, head: bytes, body: bytes | memoryview = b"") -> bytes:
        """Return the MAC of `head` and `body`."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(head)
        _update(inner.update, body)
        outer.update(inner.digest())
        return outer.digest()


def _update(update: Callable[[bytes | memoryview], None], body: bytes | memoryview) -> None:
    """Hash a body, and keep the interpreter's turn where that does not take long."""
    if PIECE_BYTES < len(body) <= PIECEWISE_BYTES:
        for start in range(0, len(body), PIECE_BYTES):
            update(body[start : start + PIECE_BYTES])
    else:
        update(body)


class Described(Protocol):
    """A node's description of itself: calls.Sender, of which every call and answer has one."""

    @property
    def id(self) -> int: ...
    @property
    def incarnation(self) -> str: ...
    @property
    def cluster_id(self) -> str: ...


class Proved(Protocol):
    """The identity that the other end of a connection has proved."""

    def check(self, sender: Described) -> None:
        """Check that a call or an answer comes from the peer that was proved.  Raises UnprovedPeer."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The identity that a node proves.  `incarnation` is its digest; `cluster_id` is "" until there is one."""

    id: int
    cluster_id: str
    incarnation: str


def digest_of(incarnation: str) -> str:
    """Return the digest that stands for an incarnation in a handshake, as hex digits."""
    return hashlib.sha256(incarnation.encode()).hexdigest()


class Session:
    """The MACs of a connection whose two sides have proved the secret.  The calls on it count from 1, one at a time."""

    __slots__ = ("_cluster_id", "_mac", "_seen", "calls", "key", "peer")

    def __init__(self, key: Key, session_key: bytes, peer: Claim) -> None:
        self.key = key  # of the secret that was proved
        self.peer = peer  # as proved
        self.calls = 0
        self._mac = hashlib.blake2b(key=session_key, digest_size=MAC_BYTES)
        self._cluster_id = peer.cluster_id
        self._seen: Described | None = None  # the sender that was compared last

    # The client

    def seal_request(self, body: bytes) -> bytes:
        """Count a call, and return the MAC that goes before its body."""
        self.calls += 1
        return self._mac_of(_request_head(self.calls), body)

    def open_answer(self, status: int, sealed: bytes) -> bytes:
        """Return the body of the answer to the last call.  Raises UnprovedPeer."""
        body = sealed[MAC_BYTES:]
        mac = self._mac_of(_answer_head(self.calls, status), body)
        if not hmac.compare_digest(sealed[:MAC_BYTES], mac):
            raise UnprovedPeer(f"an answer of member {self.peer.id} was changed on its way")
        return body

    # The server

    def open_request(self, sealed: bytes) -> bytes:
        """Count a call, and return its body.  Raises UnprovedPeer; the connection must end then."""
        self.calls += 1
        body = sealed[MAC_BYTES:]
        if not hmac.compare_digest(sealed[:MAC_BYTES], self._mac_of(_request_head(self.calls), body)):
            raise UnprovedPeer(f"a call of member {self.peer.id} was changed on its way, or repeated")
        return body

    def seal_answer(self, number: int, status: int, body: bytes) -> bytes:
        """Return the answer to call `number`, with its MAC."""
        return self._mac_of(_answer_head(number, status), body) + body

    # Both

    def check(self, sender: Described) -> None:
        """Check that a call or an answer comes from the peer that was proved.  Raises UnprovedPeer."""
        if sender is self._seen:
            return
        if sender.id != self.peer.id or digest_of(sender.incarnation) != self.peer.incarnation:
            raise UnprovedPeer(f"from: member {sender.id}, on a connection of member {self.peer.id}")
        if self._cluster_id and sender.cluster_id != self._cluster_id:
            raise UnprovedPeer(f"from: member {sender.id} of another cluster than it has proved")
        self._cluster_id = sender.cluster_id
        self._seen = sender

    def _mac_of(self, head: bytes, body: bytes) -> bytes:
        mac = self._mac.copy()
        if len(body) <= PIECE_BYTES:  # the usual message, in one call
            mac.update(head + body)
        else:
            mac.update(head)
            _update(mac.update, body)
        return mac.digest()


def _request_head(number: int) -> bytes:
    return b"request %016x " % number


def _answer_head(number: int, status: int) -> bytes:
    return b"answer %016x %d " % (number, status)


class ClientHandshake:
    """The client's side of one handshake."""

    def __init__(self, keys: tuple[Key, ...], own: Claim, target: int, nonce: bytes) -> None:
        """`target`: the member that is called.  `nonce`: NONCE_BYTES, of chance."""
        self._keys, self._own, self._target = keys, own, target
        self._transcript = [nonce]
        self.challenge = _encode(CHALLENGE, nonce=nonce.hex())

    def prove(self, reply: bytes) -> bytes:
        """Return the Prove for a ChallengeReply.  Raises UnprovedPeer."""
        own = self._own
        self._transcript.append(_hex(_decode(reply, CHALLENGE_REPLY, "nonce")["nonce"]))
        self._transcript += _client_fields(own, self._target)
        proofs = [_proof(key, b"client", self._transcript).hex() for key in self._keys]
        return _encode(
            PROVE, source=own.id, target=self._target, cluster_id=own.cluster_id, incarnation=own.incarnation,
            proofs=proofs,
        )  # fmt: skip

    def finish(self, reply: bytes) -> Session:
        """Return the session of a right ProveReply.  Raises UnprovedPeer."""
        values = _decode(reply, PROVE_REPLY, "source", "cluster_id", "incarnation", "proof")
        peer, proof = _claim(values), _hex(values["proof"])
        if peer.id != self._target:
            raise UnprovedPeer(f"it is member {peer.id}: compare --cluster of the nodes")
        if self._own.cluster_id and peer.cluster_id and peer.cluster_id != self._own.cluster_id:
            raise UnprovedPeer(f"it belongs to cluster {peer.cluster_id}, not to {self._own.cluster_id}")
        for key in self._keys:
            transcript = [*self._transcript, _proof(key, b"client", self._transcript), *_server_fields(peer)]
            if hmac.compare_digest(_proof(key, b"server", transcript), proof):
                return Session(key, _proof(key, b"session", [*transcript, proof]), peer)
        raise UnprovedPeer("it has not proved this node's cluster secret")


class ServerHandshake:
    """The server's side of one handshake."""

    def __init__(self, challenge: bytes, nonce: bytes) -> None:
        """Raises UnprovedPeer: `challenge` is no Challenge."""
        self._transcript = [_hex(_decode(challenge, CHALLENGE, "nonce")["nonce"]), nonce]
        self.reply = _encode(CHALLENGE_REPLY, nonce=nonce.hex())

    def prove(self, body: bytes, keys: tuple[Key, ...], own: Claim) -> tuple[bytes, Session]:
        """Return the ProveReply and the session for a right Prove.  Raises UnprovedPeer.

        `keys`: those that are accepted.  The reply proves the one that the client has proved.
        """
        values = _decode(body, PROVE, "source", "target", "cluster_id", "incarnation", "proofs")
        peer, target, proofs = _claim(values), _id(values["target"]), _proofs(values["proofs"])
        transcript = [*self._transcript, *_client_fields(peer, target)]
        key, proof = _proved(keys, transcript, proofs)
        if key is None:
            raise UnprovedPeer(f"member {peer.id} has another cluster secret: give it the same --cluster-secret-file")
        if target != own.id or peer.id == own.id:
            raise UnprovedPeer(f"member {peer.id} calls member {target} here, at member {own.id}: compare --cluster")
        if own.cluster_id and peer.cluster_id and peer.cluster_id != own.cluster_id:
            raise UnprovedPeer(f"member {peer.id} belongs to cluster {peer.cluster_id}, this is {own.cluster_id}")
        transcript += [proof, *_server_fields(own)]
        own_proof = _proof(key, b"server", transcript)
        reply = _encode(
            PROVE_REPLY, source=own.id, cluster_id=own.cluster_id, incarnation=own.incarnation, proof=own_proof.hex()
        )
        return reply, Session(key, _proof(key, b"session", [*transcript, own_proof]), peer)


def is_challenge(body: bytes) -> bool:
    """Return whether this may be a Challenge."""
    return body.startswith(b'{"rpc":"Challenge",')


def is_prove(body: bytes) -> bool:
    """Return whether this may be a Prove."""
    return body.startswith(b'{"rpc":"Prove",')


def _proved(keys: tuple[Key, ...], transcript: list[bytes], proofs: list[bytes]) -> tuple[Key | None, bytes]:
    """Return the first key that one of the client's proofs is of, and that proof."""
    for key in keys:
        expected = _proof(key, b"client", transcript)
        if any(hmac.compare_digest(expected, proof) for proof in proofs):
            return key, expected
    return None, b""


def _proof(key: Key, label: bytes, transcript: list[bytes]) -> bytes:
    fields = (b"raft-chat peer", VERSION.to_bytes(4), label, *transcript)
    return key.mac(b"".join([len(field).to_bytes(4) + field for field in fields]))


def _client_fields(client: Claim, target: int) -> list[bytes]:
    return [client.id.to_bytes(8), target.to_bytes(8), client.cluster_id.encode(), bytes.fromhex(client.incarnation)]


def _server_fields(server: Claim) -> list[bytes]:
    return [server.id.to_bytes(8), server.cluster_id.encode(), bytes.fromhex(server.incarnation)]


def _encode(name: str, **values: object) -> bytes:
    return json.dumps({"rpc": name, "version": VERSION, **values}, separators=(",", ":")).encode() + b"\n"


def _decode(body: bytes, name: str, *names: str) -> dict[str, Any]:
    """Return the fields of a message, which has these and no others.  Raises UnprovedPeer."""
    try:
        values = json.loads(body.decode()) if len(body) <= HANDSHAKE_BYTES_MAX else None
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or values.get("rpc") != name or set(values) != {"rpc", "version", *names}:
        raise UnprovedPeer(f"not a {name} of the handshake")
    if type(values["version"]) is not int or values["version"] != VERSION:
        raise UnprovedPeer("another version of the handshake: start the same raft-chat on all nodes")
    return values


def _claim(values: dict[str, Any]) -> Claim:
    cluster_id = values["cluster_id"]
    if not isinstance(cluster_id, str) or len(cluster_id) > CLUSTER_ID_POINTS_MAX or not cluster_id.isprintable():
        raise UnprovedPeer("not a cluster id")
    return Claim(_id(values["source"]), cluster_id, _hex(values["incarnation"]).hex())


def _id(value: object) -> int:
    if type(value) is not int or not 0 < value <= ID_MAX:
        raise UnprovedPeer("not the id of a member")
    return value


def _proofs(value: object) -> list[bytes]:
    if not isinstance(value, list) or len(value) > KEYS_MAX:
        raise UnprovedPeer("not the proofs of a client")
    return [_hex(proof) for proof in value]


def _hex(value: object) -> bytes:
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        raise UnprovedPeer("not a nonce or a proof")
    return bytes.fromhex(value)
