"""Who asks a node that has a login: ann the admin, bob, gus, a guest, and somebody who proves nothing.

What is tried takes tokens and passwords away from them; before each turn they are given back what they lack.
"""

import json
from collections.abc import Sequence

from tests.cluster.people import PASSWORD, ROLES, People, operator
from tests.cluster.waiting import wait_until
from tests.contract.cases import Identity

WAIT_S = 60  # for the bucket of wrong guesses


class Citizens:
    """Of a cluster with People."""

    def __init__(self, people: People) -> None:
        self._people = people

    def __call__(self) -> Sequence[Identity]:
        """All of them, the admin first."""
        for name in ROLES:
            if self._people.request(name, 1, "GET", "/me").status != 200:
                self._restore(name)
        named = [Identity(name, {"Authorization": f"Bearer {self._people.token[name]}"}) for name in ROLES]
        return [*named, Identity("ann", {})]

    def _restore(self, name: str) -> None:
        body = json.dumps({"Password": PASSWORD, "Role": ROLES[name], "Active": True})
        with operator(self._people.cluster.nodes[1]) as client:
            answer = client.request("PATCH", f"/users/{name}", body)
            assert answer.status == 200, answer
        wait_until(lambda: self._logs_in(name), WAIT_S, f"{name} may try a password")

    def _logs_in(self, name: str) -> bool:
        body = json.dumps({"Name": name, "Password": PASSWORD})
        answer = self._people.cluster.request(1, "POST", "/login", body)
        if answer.status == 200:
            self._people.token[name] = answer.json()["Token"]
        return answer.status == 200
