"""Requests drawn from a node's own /openapi.json, sent to it, and every answer held against what is written there.

Whatever the document allows is drawn, and as much that it does not.  Left to chance hardly a request would meet a post
that is there: so a room has some before each operation has its turn, and names, Ids and members are often replaced by
some of a few.  `min_index` is kept to what the node has: one that it has not is answered 410, `start_over`, and no more
is seen of the route.  `/events` never ends; its tests are tests/chat/realtime/test_sse.py's.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import FailureGroup

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
ENDLESS = frozenset({"/events"})


@schemathesis.serializer("application/x-ndjson")
def one_line(context: schemathesis.SerializationContext, line: Any) -> bytes:
    """A body of one line: its schema is that of a line."""
    return json.dumps(line).encode()


CASES_A_TURN = 3  # of an operation and a mode, until the next one has its turn
ROOM = "general"
KNOWN: Mapping[str, Sequence[object]] = {
    "room": [ROOM, "other", "general~aaaaaaaaaa"],
    "emoji": ["👍", "+1"],
    "user": ["ann", "bob"],
    "member": [1, 2],
    "limit": [1, 2],
}
KNOWN_MEMBERS: Mapping[str, Sequence[object]] = {
    "User": ["ann", "bob"],
    "ClientId": ["one", "two"],
    "Message": ["hi", "hi @ann", "again"],
}
IDS = ("id", "before", "after", "around", "ReplyTo")  # a post's


class Identity(NamedTuple):
    """Somebody who asks."""

    user: str
    headers: Mapping[str, str]


ANYBODY = (Identity("ann", {}), Identity("bob", {}))


@dataclass
class Report:
    """What was sent, and what came of it."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)  # the first of each kind an operation

    def __str__(self) -> str:
        told = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.statuses.items()))
        return f"{self.cases:,} cases, {len(self.failures)} failures; {told}"


def run(url: str, cases: int, seed: int = 0, identities: Callable[[], Sequence[Identity]] = lambda: ANYBODY) -> Report:
    """So many requests and some more, and a turn of each operation; the first of `identities` may do everything.

    They are asked for anew at each turn, for what was tried may have revoked their tokens.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    found: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    turns = [
        (operation.label, operation.as_strategy(generation_mode=mode))
        for operation in found
        if operation.path not in ENDLESS
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    ]
    report = Report()
    with requests.Session() as session:
        while report.cases < cases:
            for label, drawn in turns:
                asking = identities()
                ids = _prepare(url, session, asking[0])
                seed += 1
                _take_turn(label, drawn, seed, session, asking, ids, report)
    return report


def _prepare(url: str, session: requests.Session, first: Identity) -> Sequence[int]:
    """The Ids of some posts; no bounds are set, and the room is not archived, where there is one already."""
    unbounded = {"MaxRooms": None, "Retention": None, "UnusedRoomSeconds": None, "EmptyRoomSeconds": None}
    session.patch(f"{url}/settings", json=unbounded, headers=first.headers).raise_for_status()
    session.patch(f"{url}/rooms/{ROOM}", json={"Archived": False, "Retention": None}, headers=first.headers)
    answers = [
        session.post(f"{url}/rooms/{ROOM}", json={"User": first.user, "Message": text}, headers=first.headers)
        for text in ("one", "two")
    ]
    return [1, *(answer.json()["Id"] for answer in answers)]


def _take_turn(
    label: str, drawn: st.SearchStrategy[Case[Any]], seed: int, session: requests.Session,
    identities: Sequence[Identity], ids: Sequence[int], report: Report,
) -> None:  # fmt: skip
    @seeded(seed)
    @settings(
        max_examples=CASES_A_TURN, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(drawn, st.integers(0, 2**32), st.sampled_from(identities))
    def ask(case: Case[Any], dice: int, identity: Identity) -> None:
        _settle(case, Random(dice), ids)
        response = case.call(session=session, headers=dict(identity.headers), allow_redirects=False)
        report.cases += 1
        report.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                kind = f"{label}: {failure.title}, {response.status_code}"
                told = f"{failure}\n{case.as_curl_command()}\n{response.text[:500]}"
                report.failures.setdefault(kind, told)

    with suppress(Unsatisfiable):  # there is nothing in it that could be wrong
        ask()


def _settle(case: Case[Any], dice: Random, ids: Sequence[int]) -> None:
    """Have the case meet what is there, half of the time."""
    known = {**KNOWN, **KNOWN_MEMBERS, **dict.fromkeys(IDS, ids)}
    body = case.body if isinstance(case.body, dict) else {}
    parts: list[dict[str, Any]] = [case.path_parameters or {}, case.query or {}, body]
    for values in parts:
        for name in values:
            if name in known and dice.random() < 0.5:
                values[name] = dice.choice(known[name])
    if str((case.query or {}).get("min_index", "")).isdecimal():
        case.query["min_index"] = dice.choice([0, 1])
