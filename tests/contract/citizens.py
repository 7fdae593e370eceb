"""Who asks a node that has a login: ann the admin, bob, gus, a guest, and somebody who proves nothing.

What is tried takes tokens, roles and passwords away from them; before each turn they are given back what they lack.
Each has some tokens in reserve, for a login has to wait where others have guessed at passwords.
"""

import json
from collections.abc import Mapping, Sequence

from tests.cluster.people import PASSWORD, ROLES, People, operator
from tests.contract.cases import Identity
from tests.support.waiting import wait_until

WAIT_S = 60  # for the bucket of wrong guesses
RESERVE = 20  # of each; 64 are allowed, and what is tried makes some too


class Citizens:
    """Of a cluster with People."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._reserve = {name: self._more(name) for name in ROLES}

    def __call__(self) -> Sequence[Identity]:
        """All of them, the admin first."""
        for name in ROLES:
            while not self._is_whole(name):
                self._restore(name)
        named = [Identity(name, {"Authorization": f"Bearer {self._people.token[name]}"}) for name in ROLES]
        return [*named, Identity("ann", {})]

    def _is_whole(self, name: str) -> bool:
        answer = self._people.request(name, 1, "GET", "/me")
        return answer.status == 200 and answer.json()["Role"] == ROLES[name]

    def _restore(self, name: str) -> None:
        """The role, and another token, which may be revoked as well."""
        self._operate(name, {"Role": ROLES[name], "Active": True})
        if self._reserve[name]:
            self._people.token[name] = self._reserve[name].pop()
            return
        self._operate(name, {"Password": PASSWORD})
        wait_until(lambda: self._logs_in(name), WAIT_S, f"{name} may try a password")
        self._reserve[name] = self._more(name)

    def _operate(self, name: str, change: Mapping[str, object]) -> None:
        with operator(self._people.cluster.nodes[1]) as client:
            answer = client.request("PATCH", f"/users/{name}", json.dumps(change))
        assert answer.status == 200, answer

    def _logs_in(self, name: str) -> bool:
        body = json.dumps({"Name": name, "Password": PASSWORD})
        answer = self._people.cluster.request(1, "POST", "/login", body)
        if answer.status == 200:
            self._people.token[name] = answer.json()["Token"]
        return answer.status == 200

    def _more(self, name: str) -> list[str]:
        answers = [self._people.request(name, 1, "POST", "/tokens", {"Label": "reserve"}) for _ in range(RESERVE)]
        return [answer.json()["Token"] for answer in answers]
