"""A peer of the tests' own that proves the cluster's secret, or something else, on a bare socket."""

import json
import os

from raft.rpc.calls import Sender
from raft.rpc.handshake import NONCE_BYTES, Claim, ClientHandshake, Key, Session, digest_of
from tests.chat.wire import Client, Response, post
from tests.support.secrets import SECRET


def ask(client: Client, body: bytes) -> Response:
    return client.ask(post(body, b"/rpc"))


class Caller(Client):
    """A connection of a peer; `session` is what it has proved."""

    session: Session

    def prove(self, sender: Sender, target: int, key: str = SECRET) -> Response:
        """Shake hands; the answer to the proof."""
        claim = Claim(sender.id, sender.cluster_id, digest_of(sender.incarnation))
        handshake = ClientHandshake((Key(key.encode()),), claim, target, os.urandom(NONCE_BYTES))
        answer = ask(self, handshake.prove(ask(self, handshake.challenge).body))
        if answer.status == 200:
            self.session = handshake.finish(answer.body)
        return answer

    def sealed(self, body: bytes) -> bytes:
        return self.session.seal_request(body) + body

    def call(self, body: bytes) -> Response:
        """Make a call as a peer does that has proved the secret."""
        answer = ask(self, self.sealed(body))
        return Response(answer.status, answer.headers, self.session.open_answer(answer.status, answer.body))


def is_refusal(response: Response) -> bool:
    """Whether this is what strangers get, whatever they sent."""
    problem = json.loads(response.body)
    return (response.status, problem["code"], problem["cluster_id"]) == (401, "unproved_peer", "")
