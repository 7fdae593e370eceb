"""The handshake of two peers, and the MACs of what follows: values in and out, no socket."""

import hashlib
import hmac
import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from raft.errors import UnprovedPeer
from raft.rpc.calls import Sender
from raft.rpc.handshake import (
    MAC_BYTES,
    NONCE_BYTES,
    PIECE_BYTES,
    PIECEWISE_BYTES,
    Claim,
    ClientHandshake,
    Key,
    ServerHandshake,
    Session,
    digest_of,
    is_challenge,
    is_prove,
)

KEY, OTHER_KEY = Key(b"k" * 44), Key(b"o" * 44)
ONE = Sender(1, "aa", "c1", "")
TWO = Sender(2, "bb", "c1", "")
MUTATIONS = 20_000


def claim(sender: Sender) -> Claim:
    return Claim(sender.id, sender.cluster_id, digest_of(sender.incarnation))


def nonce(letter: str) -> bytes:
    return letter.encode() * NONCE_BYTES


def client(*keys: Key, own: Sender = TWO, target: int = 1, letter: str = "c") -> ClientHandshake:
    return ClientHandshake(keys or (KEY,), claim(own), target, nonce(letter))


def shake(
    client: ClientHandshake, keys: tuple[Key, ...] = (KEY,), own: Sender = ONE, letter: str = "s"
) -> tuple[Session, Session]:
    """The sessions of both, the client's first."""
    server = ServerHandshake(client.challenge, nonce(letter))
    reply, there = server.prove(client.prove(server.reply), keys, claim(own))
    return client.finish(reply), there


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(UnprovedPeer) as refused:
        act()
    return str(refused.value)


# The proof


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5, PIECEWISE_BYTES + 1])
@pytest.mark.parametrize("key", [b"k" * 32, b"k" * 64, b"k" * 65])
def test_a_mac_is_the_hmac_of_the_standard_library(key: bytes, size: int) -> None:
    body = random.Random(size).randbytes(size)
    expected = hmac.digest(key, b"head" + body, hashlib.sha256)
    assert Key(key).mac(b"head", body) == Key(key).mac(b"head", memoryview(body)) == expected


def test_two_nodes_with_one_secret_know_each_other_afterwards() -> None:
    here, there = shake(client())
    assert (here.peer, there.peer) == (claim(ONE), claim(TWO))
    for number, (asked, answered) in enumerate(
        [(b"ask", b"answer"), (b"", b""), (b"x" * 9_000, b"y" * 9_000)], start=1
    ):
        assert there.open_request(here.seal_request(asked) + asked) == asked
        assert here.open_answer(200, there.seal_answer(number, 200, answered)) == answered


def test_a_node_without_a_cluster_yet_proves_itself_to_one_with_a_cluster_and_the_other_way_round() -> None:
    assert shake(client(own=replace(TWO, cluster_id="")))[1].peer.cluster_id == ""
    assert shake(client(), own=replace(ONE, cluster_id=""))[0].peer.cluster_id == ""


@pytest.mark.parametrize(
    ("here", "there", "used"),
    [
        ((OTHER_KEY,), (KEY, OTHER_KEY), OTHER_KEY),
        ((OTHER_KEY,), (OTHER_KEY, KEY), OTHER_KEY),
        ((KEY, OTHER_KEY), (OTHER_KEY,), OTHER_KEY),
        ((KEY, OTHER_KEY), (KEY,), KEY),
        ((KEY, OTHER_KEY), (OTHER_KEY, KEY), OTHER_KEY),
        ((KEY, OTHER_KEY), (KEY, OTHER_KEY), KEY),
    ],
)
def test_nodes_with_one_key_in_common_use_that(here: tuple[Key, ...], there: tuple[Key, ...], used: Key) -> None:
    client_session, server_session = shake(client(*here), there)
    assert client_session.key is server_session.key is used


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (client(OTHER_KEY), "give it the same --cluster-secret-file"),
        (client(target=3), "calls member 3 here, at member 1: compare --cluster"),
        (client(own=replace(ONE, incarnation="bb")), "member 1 calls member 1 here"),
        (client(own=replace(TWO, cluster_id="c2")), "belongs to cluster c2, this is c1"),
    ],
)
def test_a_proof_of_something_else_is_refused_in_words(wrong: ClientHandshake, words: str) -> None:
    assert words in refusal(lambda: shake(wrong))


@pytest.mark.parametrize("field", ["source", "target", "cluster_id", "incarnation"])
def test_a_proof_holds_for_what_it_was_made_of_only(field: str) -> None:
    other: dict[str, Any] = {"source": 3, "target": 1, "cluster_id": "", "incarnation": digest_of("cc")}
    caller = client(target=3 if field == "target" else 1)
    server = ServerHandshake(caller.challenge, nonce("s"))
    said = json.loads(caller.prove(server.reply))
    said[field] = other[field]
    body = json.dumps(said).encode()
    assert "another cluster secret" in refusal(lambda: server.prove(body, (KEY,), claim(ONE)))


@pytest.mark.parametrize("proofs", [None, "00", [], ["0" * 64] * 2, ["0" * 64] * 3, ["0"], [1]])
def test_what_are_no_proofs_of_the_secret_is_refused(proofs: object) -> None:
    caller = client()
    server = ServerHandshake(caller.challenge, nonce("s"))
    body = json.dumps({**json.loads(caller.prove(server.reply)), "proofs": proofs}).encode()
    with pytest.raises(UnprovedPeer):
        server.prove(body, (KEY,), claim(ONE))


def test_a_proof_of_another_handshake_is_refused() -> None:
    before = client()
    server = ServerHandshake(before.challenge, nonce("s"))
    proved = before.prove(server.reply)
    again = ServerHandshake(before.challenge, nonce("t"))  # the client's nonce is the same, the server's is new
    assert "another cluster secret" in refusal(lambda: again.prove(proved, (KEY,), claim(ONE)))


def test_a_client_does_not_believe_its_own_proof_sent_back() -> None:
    caller = client()
    server = ServerHandshake(caller.challenge, nonce("s"))
    said = json.loads(caller.prove(server.reply))
    reflected = {name: said[name] for name in ("version", "cluster_id", "incarnation")}
    body = json.dumps({"rpc": "ProveReply", "source": 1, "proof": said["proofs"][0], **reflected}).encode()
    assert "has not proved" in refusal(lambda: caller.finish(body))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": 3}, "it is member 3"),
        ({"cluster_id": "c2"}, "belongs to cluster c2"),
        ({"cluster_id": ""}, "has not proved"),
        ({"incarnation": digest_of("zz")}, "has not proved"),
        ({"proof": "0" * 64}, "has not proved"),
        ({"proof": "0" * 63}, "not a nonce or a proof"),
        ({"proof": None}, "not a nonce or a proof"),
        ({"source": True}, "not the id"),
        ({"cluster_id": "c\n"}, "not a cluster id"),
        ({"version": 2}, "another version of the handshake"),
        ({"more": 1}, "not a ProveReply"),
    ],
)
def test_a_client_believes_no_answer_that_is_not_proved(changes: dict[str, Any], words: str) -> None:
    caller = client()
    server = ServerHandshake(caller.challenge, nonce("s"))
    reply, _ = server.prove(caller.prove(server.reply), (KEY,), claim(ONE))
    body = json.dumps({**json.loads(reply), **changes}).encode()
    assert words in refusal(lambda: caller.finish(body))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b"[" * 900, b'{"rpc":"Challenge"}', b"x" * 5_000])
def test_what_is_no_challenge_is_refused(body: bytes) -> None:
    assert refusal(lambda: ServerHandshake(body, nonce("s"))) == "not a Challenge of the handshake"


def test_a_handshake_tells_a_stranger_nothing_of_this_node() -> None:
    said = json.loads(ServerHandshake(client().challenge, nonce("s")).reply)
    assert said == {"rpc": "ChallengeReply", "version": 1, "nonce": nonce("s").hex()}


def test_the_incarnation_itself_is_not_sent() -> None:
    long = replace(TWO, incarnation="0123456789abcdef" * 2)
    caller = client(own=long)
    server = ServerHandshake(caller.challenge, nonce("s"))
    assert long.incarnation.encode() not in caller.prove(server.reply)


def test_the_steps_of_the_handshake_are_told_apart() -> None:
    caller = client()
    proved = caller.prove(ServerHandshake(caller.challenge, nonce("s")).reply)
    assert (is_challenge(caller.challenge), is_prove(caller.challenge)) == (True, False)
    assert (is_challenge(proved), is_prove(proved)) == (False, True)


# The session


def test_a_call_that_comes_again_is_refused() -> None:
    here, there = shake(client())
    sealed = here.seal_request(b"ask") + b"ask"
    there.open_request(sealed)
    assert "or repeated" in refusal(lambda: there.open_request(sealed))


def test_a_call_that_was_left_out_is_noticed() -> None:
    here, there = shake(client())
    here.seal_request(b"lost")
    assert "changed on its way" in refusal(lambda: there.open_request(here.seal_request(b"ask") + b"ask"))


def test_a_call_of_another_connection_is_refused() -> None:
    first, _ = shake(client())
    _, there = shake(client(letter="d"))
    assert "changed on its way" in refusal(lambda: there.open_request(first.seal_request(b"ask") + b"ask"))


def test_a_call_sent_back_is_no_answer_and_an_answer_no_call() -> None:
    here, there = shake(client())
    sealed = here.seal_request(b"ask") + b"ask"
    assert "changed on its way" in refusal(lambda: here.open_answer(200, sealed))
    there.open_request(sealed)
    answer = there.seal_answer(2, 200, b"answer")
    assert "changed on its way" in refusal(lambda: there.open_request(answer))


def test_an_answer_to_another_call_or_with_another_status_is_refused() -> None:
    here, there = shake(client())
    for number in (1, 2):
        there.open_request(here.seal_request(b"ask") + b"ask")
        assert here.open_answer(200, there.seal_answer(number, 200, b"yes")) == b"yes"
    assert "changed on its way" in refusal(lambda: here.open_answer(200, there.seal_answer(1, 200, b"yes")))
    assert "changed on its way" in refusal(lambda: here.open_answer(200, there.seal_answer(2, 410, b"yes")))


@pytest.mark.parametrize(
    ("sender", "words"),
    [
        (replace(TWO, id=3), "from: member 3, on a connection of member 2"),
        (replace(TWO, incarnation="cc"), "from: member 2, on a connection of member 2"),
        (replace(TWO, cluster_id="c2"), "of another cluster"),
        (replace(TWO, cluster_id=""), "of another cluster"),
    ],
)
def test_a_sender_that_is_not_the_proved_one_is_refused(sender: Sender, words: str) -> None:
    _, there = shake(client())
    there.check(TWO)
    there.check(replace(TWO, boots=(1, 2)))
    assert words in refusal(lambda: there.check(sender))


def test_a_cluster_that_was_named_once_stays() -> None:
    _, there = shake(client(own=replace(TWO, cluster_id="")))
    there.check(replace(TWO, cluster_id=""))
    there.check(TWO)
    assert "of another cluster" in refusal(lambda: there.check(replace(TWO, cluster_id="c2")))


def mutated(chance: random.Random, body: bytes) -> bytes:
    """A body that differs: bits turned over, bytes put in, left out or doubled, its end cut off."""
    at = chance.randrange(len(body))
    match chance.randrange(5):
        case 0:
            return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :]
        case 1:
            return body[:at] + chance.randbytes(chance.randint(1, 40)) + body[at:]
        case 2:
            return body[:at] + body[at + chance.randint(1, 40) :]
        case 3:
            return body[:at]
        case _:
            return body + body[at:]


def test_no_mutation_of_what_goes_over_the_wire_is_accepted() -> None:
    """A quarter each: proofs, proofs of the server, calls, answers.  JSON spelt in another way is the same proof."""
    chance = random.Random(12)
    caller = client()
    server = ServerHandshake(caller.challenge, nonce("s"))
    proved = caller.prove(server.reply)
    reply, there = server.prove(proved, (KEY,), claim(ONE))
    here = caller.finish(reply)
    asked = b'{"rpc":"AppendEntries","format":3}\n' + chance.randbytes(200)
    call, answer = here.seal_request(asked) + asked, there.seal_answer(1, 200, asked)
    accepted = 0
    for number in range(MUTATIONS):
        sent = (proved, reply, call, answer)[number % 4]
        body = mutated(chance, sent)
        if body == sent or (number % 4 < 2 and _says(body) == _says(sent)):
            continue
        there.calls = 0
        try:
            match number % 4:
                case 0:
                    server.prove(body, (KEY, OTHER_KEY), claim(ONE))
                case 1:
                    caller.finish(body)
                case 2:
                    there.open_request(body)
                case _:
                    here.open_answer(200, body)
            accepted += 1
        except UnprovedPeer:
            pass
    assert accepted == 0
    assert there.open_request(call) == asked == here.open_answer(200, answer)  # they were right but for the mutation


def _says(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None


def test_a_mac_alone_is_an_empty_call_and_less_is_refused() -> None:
    here, there = shake(client())
    assert there.open_request(here.seal_request(b"")) == b""
    assert "changed on its way" in refusal(lambda: there.open_request(here.seal_request(b"")[: MAC_BYTES - 1]))
