"""A member's report for operators: bounded, and read whatever another version says."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft.cluster.member_reports import NUMBERS, TEXTS, MemberReports, Report, decode
from raft.core.configuration import MEMBERS_MAX
from raft.engine.gossip import ASK_S
from raft.rpc.calls import NoticeReply, Sender
from raft.rpc.codec import NUMBER_MAX, decode_answer, encode
from tests.raft.members import DEADLINE_S, Members
from tests.support.waiting import wait_until

WHOLE: Report = {"Role": "leader", "Version": "0.1.0", "Term": 3, "LastApplied": 7, "DiskFreeBytes": 9}


def test_a_report_arrives_as_it_was_made() -> None:
    reports = MemberReports(lambda: WHOLE)
    reports.heard(2, reports.encode_own())
    shown = reports.of(2)
    assert isinstance(heard_ms := shown.pop("HeardMs"), int) and heard_ms >= 0
    assert shown == WHOLE
    assert reports.of(3) == {}


def test_a_member_of_a_later_version_may_say_more_and_an_earlier_one_less() -> None:
    assert decode(json.dumps({**WHOLE, "Mood": "good", "Term": "3", "LastApplied": -1})) == {
        "Role": "leader", "Version": "0.1.0", "DiskFreeBytes": 9,
    }  # fmt: skip
    assert decode("") == {}


def test_an_answer_without_a_report_is_one_of_an_earlier_version() -> None:
    body = encode(Sender(2, "i", "c", "", 1, (1,)), NoticeReply(5, "said"))
    assert decode_answer(body)[1] == NoticeReply(5, "said")
    assert decode_answer(body.replace(b',"report":"said"', b""))[1] == NoticeReply(5)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*TEXTS, *NUMBERS, "x"]), inner),
    max_leaves=8,
)


@given(st.one_of(st.text(), values.map(json.dumps)))
def test_whatever_arrives_only_bounded_values_are_shown(text: str) -> None:
    for name, value in decode(text).items():
        if name in TEXTS:
            assert isinstance(value, str) and 0 < len(value) <= TEXTS[name] and value.isprintable()
        else:
            assert name in NUMBERS and type(value) is int and 0 <= value <= NUMBER_MAX


def test_reports_of_removed_members_are_forgotten_and_there_are_no_more_than_members() -> None:
    reports = MemberReports(lambda: WHOLE)
    for id in range(1, MEMBERS_MAX + 2):
        reports.heard(id, "{}")
    assert reports.of(MEMBERS_MAX + 1) == {}
    reports.forget_all_but(frozenset({1}))
    assert "HeardMs" in reports.of(1)
    assert reports.of(2) == {}


def test_every_member_shows_the_reports_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.engine.gossip.REFRESH_S", 3600.0)  # only who asks hears anew
    cluster = Members(tmp_path)
    cluster.found()
    try:
        members = [host.member for host in cluster.running()]
        wait_until(lambda: all(_ages(each.status()) is not None for each in members), DEADLINE_S, "all have reported")
        asked = members[0]
        wait_until(lambda: max(_ages(asked.status()) or [0]) > 2 * ASK_S * 1000, DEADLINE_S, "the reports are old")
        asked.ask_members()
        assert max(_ages(asked.status()) or [1 << 30]) < ASK_S * 1000
    finally:
        cluster.close()


def _ages(status: dict[str, object]) -> list[int] | None:
    """The ages of all members' reports; None where one is missing or its clock is not known."""
    members = status["Members"]
    assert isinstance(members, list)
    if not all({"HeardMs", "Role", "LastApplied", "ClockOffsetMs"} <= set(member) for member in members):
        return None
    assert all(abs(member["ClockOffsetMs"]) < 2000 for member in members)  # one machine has one clock
    return [member["HeardMs"] for member in members]
