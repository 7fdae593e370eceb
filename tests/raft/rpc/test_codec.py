"""What members send each other survives the way there, and nothing else does: the border that peers' bytes stop at."""

import json
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.configuration import Configuration, Member
from raft.core.entries import RECORD_BYTES_MAX, command_entry, configuration_entry, noop_entry, seal
from raft.core.raft_messages import (
    AppendEntries,
    Entry,
    InstallSnapshot,
    ProposalId,
    RequestVote,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.errors import InvalidMessage
from raft.rpc.calls import FetchedEntries, FetchEntries, Hello, Notice, Propose, ReadIndex, Sender
from raft.rpc.codec import (
    ENTRIES_MAX,
    FETCH_INDEXES_MAX,
    NOTICE_BYTES_MAX,
    NUMBER_MAX,
    SENDER_BYTES_MAX,
    TEXT_POINTS_MAX,
    Answer,
    Call,
    _sender_of,
    decode_answer,
    decode_call,
    encode,
)
from tests.raft.wire_strategies import answers, calls, senders

SENDER = Sender(1, "aa", "c1", "http://127.0.0.1:12380", 3, (7, 9))
VOTE = RequestVote(1, 2, 5, 10, 4)
APPEND = AppendEntries(1, 2, 5, 10, 4, (), 9, 3)
ID = ProposalId(1, 1, 7, 7)
MEMBER = {
    "id": 1, "url": "http://a:1", "voting": True, "promote": False, "incarnation": "", "advertise": "", "level": 1
}  # fmt: skip


def body_of(message: Call | Answer, **changed: object) -> bytes:
    """The body of `message`, with members of its first line changed; None takes one away."""
    head, _, rest = encode(SENDER, message).partition(b"\n")
    value: dict[str, Any] = {**json.loads(head), **changed}
    value = {name: member for name, member in value.items() if member is not None}
    return json.dumps(value).encode() + b"\n" + rest


def append_of(*entries: Entry) -> bytes:
    return encode(SENDER, replace(APPEND, entries=entries))


def configured(**changed: object) -> bytes:
    """An append of a configuration of one member; `changed` are the member's, or the configuration's own."""
    member = {name: changed.get(name, value) for name, value in MEMBER.items()}
    value = {
        "cluster_id": changed.get("cluster_id", "c1"),
        "level": changed.get("cluster_level", 1),
        "members": changed.get("members", [member]),
        "removed": changed.get("removed", []),
    }
    return append_of(configuration_entry(11, 5, 0, json.dumps(value).encode()))


# There and back


@settings(deadline=None)
@given(senders, calls, st.integers(0, NUMBER_MAX))
def test_a_call_arrives_as_it_was_sent_with_the_receivers_number(sender: Sender, call: Call, number: int) -> None:
    sender = replace(sender, id=call.source)
    expected: Call = call
    if isinstance(call, AppendEntries | InstallSnapshot | RequestVote | TimeoutNow):
        expected = replace(call, request=number)
    assert decode_call(encode(sender, call), number) == (sender, expected)


@settings(deadline=None)
@given(senders, answers)
def test_an_answer_arrives_as_it_was_sent(sender: Sender, answer: Answer) -> None:
    sender = replace(sender, id=getattr(answer, "source", sender.id))
    assert decode_answer(encode(sender, answer)) == (sender, answer)


def test_entries_travel_as_the_very_bytes_of_the_log() -> None:
    entries = (command_entry(11, 4, 1, ID, b'{"a": 1}'), noop_entry(12, 5, 2))
    body = append_of(*entries)
    assert body.endswith(entries[0].record + entries[1].record)
    _, call = decode_call(body, 0)
    assert isinstance(call, AppendEntries)
    assert call.entries == entries


def test_the_first_line_names_the_rpc_its_format_and_who_speaks() -> None:
    head = json.loads(encode(SENDER, Hello(1, 2)))
    assert head == {
        "rpc": "Hello",
        "format": 3,
        "from": [1, "aa", "c1", "http://127.0.0.1:12380", 3, [7, 9]],
        "source": 1,
        "target": 2,
    }


def test_members_of_the_first_line_that_are_not_known_are_passed_over() -> None:
    """So that a later version may say more."""
    assert decode_call(body_of(VOTE, mood="good"), 0) == (SENDER, VOTE)
    assert (
        decode_call(body_of(VOTE, **{"from": [1, "aa", "c1", SENDER.advertise, 3, [7, 9], {"mood": "good"}]}), 0)[0]
        == SENDER
    )


def test_a_message_without_one_of_its_fields_is_refused() -> None:
    with pytest.raises(InvalidMessage, match=r"^term: 'None' is not valid$"):
        decode_call(body_of(ReadIndex(1, 2, 5), term=None), 0)


def test_a_member_of_a_configuration_may_have_what_is_not_known_here() -> None:
    _, call = decode_call(configured(members=[{**MEMBER, "mood": "good"}]), 0)
    assert isinstance(call, AppendEntries)


@pytest.mark.parametrize("format", [2, 4])
def test_a_message_of_another_format_is_refused_in_words_that_name_both(format: int) -> None:
    with pytest.raises(InvalidMessage, match=rf"^format: '{format}' is not one this version speaks \(3\)$"):
        decode_call(body_of(VOTE, format=format), 0)
    with pytest.raises(InvalidMessage, match=rf"^format: '{format}' is not one this version speaks \(3\)$"):
        decode_answer(body_of(TimeoutNowReply(1, 2, 5), format=format))


def test_a_sender_without_its_boots_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="boots"):
        decode_call(body_of(VOTE, **{"from": [1, "aa", "c1", "", 3]}), 0)


def test_as_many_entries_as_there_may_be_arrive() -> None:
    entries = tuple(noop_entry(11 + n, 5, 0) for n in range(ENTRIES_MAX))
    _, call = decode_call(append_of(*entries), 0)
    assert isinstance(call, AppendEntries)
    assert call.entries is not None and len(call.entries) == ENTRIES_MAX


# What is refused, and in which words

NESTED = b"[" * 100_000

MALFORMED: list[tuple[str, bytes, str]] = [
    ("an empty body", b"", "first line"),
    ("no newline at the end", encode(SENDER, VOTE)[:-1], "newline"),
    ("an empty line", b"\n", "first line"),
    ("no JSON", b"hello\n", "first line"),
    ("not an object", b"[1]\n", "first line"),
    ("no UTF-8", b'{"rpc":"\xff"}\n', "first line"),
    ("UTF-16", '{"format":3}'.encode("utf-16-le") + b"\n", "first line"),
    ("nesting without an end", NESTED + b"\n", "first line"),
    ("a number without an end", b'{"format":' + b"9" * 10_000 + b"}\n", "first line"),
    ("another format", body_of(VOTE, format=2), "format"),
    ("no format", body_of(VOTE, format=None), "format"),
    ("a format that is only equal to 3", body_of(VOTE, format=3.0), "format"),
    ("no rpc", body_of(VOTE, rpc=None), "rpc"),
    ("an unknown rpc", body_of(VOTE, rpc="Gossip"), "rpc: 'Gossip'"),
    ("an rpc that is a list", body_of(VOTE, rpc=["RequestVote"]), "rpc"),
    ("an answer where a call belongs", body_of(VOTE, rpc="RequestVoteReply"), "rpc"),
    ("lines behind a vote", encode(SENDER, VOTE) + noop_entry(1, 1, 0).record, "rpc: lines behind a RequestVote"),
    ("no sender", body_of(VOTE, **{"from": None}), "from"),
    ("half a sender", body_of(VOTE, **{"from": [1, "aa"]}), "from"),
    ("a sender without an id", body_of(VOTE, **{"from": ["1", "aa", "c1", "", 1]}), "from"),
    ("sender 0", body_of(VOTE, **{"from": [0, "aa", "c1", "", 1], "source": 0}), "from"),
    ("a sender whose URL no UTF-8 can say", body_of(VOTE, **{"from": [1, "aa", "c1", "\ud800", 1]}), "from"),
    ("a sender without a level", body_of(VOTE, **{"from": [1, "aa", "c1", ""]}), "from: .*level"),
    ("a sender of level 0", body_of(VOTE, **{"from": [1, "aa", "c1", "", 0]}), "from: .*level"),
    ("a sender whose boots do not ascend", body_of(VOTE, **{"from": [1, "aa", "c1", "", 1, [2, 1]]}), "from: .*boots"),
    ("a sender whose boots are a text", body_of(VOTE, **{"from": [1, "aa", "c1", "", 1, "2"]}), "from: .*boots"),
    ("a sender whose level is a text", body_of(VOTE, **{"from": [1, "aa", "c1", "", "1"]}), "from: .*level"),
    ("a message of another", body_of(VOTE, source=3), "source"),
    ("a missing term", body_of(VOTE, term=None), "term"),
    ("a negative term", body_of(VOTE, term=-1), "term"),
    ("a term that is a text", body_of(VOTE, term="5"), "term: '5'"),
    ("a term that is a fraction", body_of(VOTE, term=5.0), "term"),
    ("a term that is a flag", body_of(VOTE, term=True), "term"),
    ("a term that is too large", body_of(VOTE, term=NUMBER_MAX + 1), "term"),
    ("a term that is nested", body_of(VOTE, term=[[[[1]]]]), "term: list"),
    ("a last_log_index of null", body_of(VOTE).replace(b'"last_log_index": 10', b'"last_log_index": null'), "last_log"),
    ("a flag that is a number", body_of(VOTE, pre_vote=1), "pre_vote"),
    ("a missing target", body_of(VOTE, target=None), "target"),
    ("a round that is a text", body_of(APPEND, round=""), "round"),
    ("an entry that was flipped", append_of(noop_entry(11, 5, 0)).replace(b"noop", b"nooq"), "entries: .*checksum"),
    ("an entry that is none", body_of(APPEND) + seal(b'{"index":11}'), "entries"),
    ("a line that is no record", body_of(APPEND) + b"x\n", "entries"),
    ("an empty line among the entries", body_of(APPEND) + b"\n", "entries"),
    ("an entry that leaves a gap", append_of(noop_entry(12, 5, 0)), "entries: index 12"),
    ("an entry twice", append_of(noop_entry(11, 5, 0), noop_entry(11, 5, 0)), "entries: index 11"),
    ("a term below prev_log_term", append_of(noop_entry(11, 3, 0)), "entries: index 11 of term 3"),
    ("a term that falls", append_of(noop_entry(11, 5, 0), noop_entry(12, 4, 0)), "entries: index 12 of term 4"),
    ("a term above the leader's", append_of(noop_entry(11, 6, 0)), "entries: index 11 of term 6"),
    ("an entry too large", append_of(command_entry(11, 5, 0, ID, b'"%b"' % bytes(RECORD_BYTES_MAX))), "entries"),
    ("too many entries", body_of(APPEND) + noop_entry(11, 5, 0).record * (ENTRIES_MAX + 1), "more than 8192"),
    ("a configuration that is no object", append_of(configuration_entry(11, 5, 0, b"[]")), "entries: a configuration"),
    ("a configuration of too much", append_of(configuration_entry(11, 5, 0, NESTED)), "entries: a configuration"),
    ("members that are not", configured(members={"1": "http://a:1"}), "entries: a configuration"),
    ("a member's id that is a text", configured(id="1"), "entries: .* id "),
    ("a member's URL that is a number", configured(url=1), "entries: .* url "),
    ("a vote that is a number", configured(voting=1), "entries: .* voting "),
    ("a cluster_id that is a number", configured(cluster_id=1), "entries: .*cluster_id"),
    ("a member's level that is a flag", configured(level=True), "entries: .* level "),
    ("a cluster's level that is a text", configured(cluster_level="1"), "entries: .* level"),
    ("removed ids that are texts", configured(removed=["1"]), "entries: .*removed"),
    ("a proposal that is none", encode(SENDER, Propose(1, 2, ())) + b"{}\n", "proposals"),
    ("a command that is no JSON", encode(SENDER, Propose(1, 2, ((ID, b"}{"),))), "proposals: .*JSON"),
    ("a command that is no UTF-8", encode(SENDER, Propose(1, 2, ((ID, b'"\xff"'),))), "proposals: .*JSON"),
    ("a command in UTF-16", encode(SENDER, Propose(1, 2, ((ID, b"1\0"),))), "proposals: .*JSON"),
    ("a command of too much", encode(SENDER, Propose(1, 2, ((ID, NESTED),))), "proposals: .*JSON"),
    ("a command too large", encode(SENDER, Propose(1, 2, ((ID, b'"%b"' % (b"x" * (1 << 19))),))), "proposals"),
    ("another's notice", body_of(Notice(1, 2, b""), source=3), "source"),
    ("a notice too large", encode(SENDER, Notice(1, 2, bytes(NOTICE_BYTES_MAX + 1))), "body: more than 262144 bytes"),
    ("another's proposal", encode(SENDER, Propose(1, 2, ((ID._replace(member=3), b"1"),))), "proposals: .*member 3"),
]


@pytest.mark.parametrize(("body", "words"), [m[1:] for m in MALFORMED], ids=[m[0] for m in MALFORMED])
def test_a_malformed_call_is_refused_in_words_that_name_the_field(body: bytes, words: str) -> None:
    with pytest.raises(InvalidMessage, match=words) as refused:
        decode_call(body, 0)
    assert len(str(refused.value)) < 300


def test_what_is_remembered_of_a_sender_is_bounded() -> None:
    """The list may be padded with blanks; a padded one is read, and not kept."""
    plain = encode(SENDER, VOTE)
    padded = plain.replace(b'"from":[', b'"from":[' + b" " * SENDER_BYTES_MAX, 1)
    _sender_of.cache_clear()
    assert decode_call(padded, 0) == decode_call(plain, 0)
    assert _sender_of.cache_info().currsize == 1


HELLO = {
    "rpc": "HelloReply",
    "format": 3,
    "from": [2, "bb", "", ""],
    "listed": {"1": "u"},
    "members": {},
    "removed": [],
}

MALFORMED_ANSWERS: list[tuple[str, dict[str, object], str]] = [
    ("a call where an answer belongs", {"rpc": "Hello", "source": 1, "target": 2}, "rpc"),
    ("a list for a table", {"listed": ["u"]}, "listed"),
    ("an id that is no number", {"listed": {"one": "u"}}, "listed"),
    ("an id that is negative", {"listed": {"-1": "u"}}, "listed"),
    ("an id without an end", {"members": {"9" * 20: "u"}}, "members"),
    ("a URL that is a number", {"listed": {"1": 1}}, "listed"),
    ("a URL without an end", {"listed": {"1": "u" * (TEXT_POINTS_MAX + 1)}}, "listed"),
    ("a removed id that is a text", {"removed": ["1"]}, "removed"),
    ("a level that is a text", {"level": "1"}, "level"),
    ("a table for a list", {"removed": {}}, "removed"),
]


@pytest.mark.parametrize(
    ("changed", "words"), [m[1:] for m in MALFORMED_ANSWERS], ids=[m[0] for m in MALFORMED_ANSWERS]
)
def test_a_malformed_answer_is_refused_in_words_that_name_the_field(changed: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidMessage, match=words):
        decode_answer(json.dumps({**HELLO, **changed}).encode() + b"\n")


def test_an_answer_in_the_name_of_another_is_refused() -> None:
    with pytest.raises(InvalidMessage, match="source: an answer of member 2 from member 1"):
        decode_answer(encode(SENDER, TimeoutNowReply(2, 1, 5)))


def test_lines_behind_an_answer_are_refused() -> None:
    with pytest.raises(InvalidMessage, match="lines behind a HelloReply"):
        decode_answer(json.dumps(HELLO).encode() + b"\n{}\n")


FETCHED = encode(SENDER, FetchedEntries(9, (command_entry(3, 1, 7, ProposalId(2, 1, 1, 0), b"1"),)))


@pytest.mark.parametrize(
    ("indexes", "words"),
    [
        ((), "indexes: 0, not 1 to 1024"),
        (range(1, FETCH_INDEXES_MAX + 2), "indexes: 1025, not 1 to 1024"),
        ((0, 1), "indexes: not ascending from 1"),
        ((4, 3), "indexes: not ascending from 1"),
        ((3, 3), "indexes: not ascending from 1"),
    ],
)
def test_a_fetch_of_indexes_that_do_not_ascend_or_are_too_many_is_refused(indexes: Iterable[int], words: str) -> None:
    with pytest.raises(InvalidMessage, match=words):
        decode_call(encode(SENDER, FetchEntries(SENDER.id, 2, tuple(indexes))), 1)
    assert decode_call(encode(SENDER, FetchEntries(SENDER.id, 2, tuple(range(1, FETCH_INDEXES_MAX + 1)))), 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body.replace(b'"command":1', b'"command":2'), "entries: a record with a wrong checksum"),
        (lambda body: body + body[body.index(b"\n") + 1 :], "entries: not ascending"),
        (lambda body: body[:-1], "entries: a record with a wrong checksum"),
        (lambda body: body + b"x\n", "entries: a record"),
    ],
)
def test_fetched_records_that_are_damaged_or_out_of_order_are_refused(
    change: Callable[[bytes], bytes], words: str
) -> None:
    assert decode_answer(FETCHED)
    with pytest.raises(InvalidMessage, match=words):
        decode_answer(change(FETCHED))


@pytest.mark.parametrize("depth", range(900, 1_000, 9))
def test_what_is_nested_to_the_edge_of_the_stack_is_refused_like_all_else(depth: int) -> None:
    """Deep enough to be read and too deep to be shown."""
    nested = b"[" * depth + b"]" * depth
    with pytest.raises(InvalidMessage):
        decode_call(encode(SENDER, VOTE).replace(b'"term":5', b'"term":' + nested), 0)
    with pytest.raises(InvalidMessage):
        decode_call(encode(SENDER, VOTE).replace(b'"format":3', b'"format":' + nested), 0)


# Whatever comes


T = TypeVar("T", Call, Answer)


def is_refused_or_sound(decode: Callable[[bytes], tuple[Sender, T]], body: bytes) -> None:
    """What passes is a message like any other: it can be sent on and read again."""
    try:
        sender, message = decode(body)
    except InvalidMessage:
        return
    assert decode(encode(sender, message)) == (sender, message)


@settings(deadline=None)
@given(st.one_of(st.binary(), st.text().map(str.encode), st.binary().map(lambda data: data + b"\n")))
def test_random_bytes_are_refused_and_nothing_else_happens(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        decode_call(body, 0)
    with pytest.raises(InvalidMessage):
        decode_answer(body)


@st.composite
def mutated(draw: st.DrawFn, messages: st.SearchStrategy[Any]) -> bytes:
    """The body of a message in which a few bytes were replaced, doubled, dropped or put in."""
    message = draw(messages)
    sender = replace(draw(senders), id=getattr(message, "source", 1))
    body = bytearray(encode(sender, message))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + 8)))
        body[start:end] = draw(st.one_of(st.binary(max_size=8), st.just(bytes(body[start:end]) * 2)))
    return bytes(body)


@settings(deadline=None)
@given(mutated(calls))
def test_a_call_that_was_damaged_on_the_way_is_refused_or_sound(body: bytes) -> None:
    is_refused_or_sound(lambda damaged: decode_call(damaged, 0), body)


@settings(deadline=None)
@given(mutated(answers))
def test_an_answer_that_was_damaged_on_the_way_is_refused_or_sound(body: bytes) -> None:
    is_refused_or_sound(decode_answer, body)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


@settings(deadline=None)
@given(calls, st.data())
def test_any_json_in_any_member_of_a_call_is_refused_or_sound(call: Call, data: st.DataObject) -> None:
    head, _, rest = encode(replace(SENDER, id=call.source), call).partition(b"\n")
    value = json.loads(head)
    value[data.draw(st.sampled_from(sorted(value)))] = data.draw(json_values)
    is_refused_or_sound(lambda body: decode_call(body, 0), json.dumps(value).encode() + b"\n" + rest)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(MEMBER)), json_values), st.booleans())
def test_whatever_configuration_passes_has_the_right_types(changed: dict[str, object], whole: bool) -> None:
    members = [{**MEMBER, **changed}] if whole else [changed]
    try:
        _, call = decode_call(configured(members=members), 0)
    except InvalidMessage:
        return
    assert isinstance(call, AppendEntries)
    assert call.entries is not None
    body = json.loads(call.entries[0].body)
    known = {field.name for field in fields(Member)}
    for member in (Member(**{n: v for n, v in one.items() if n in known}) for one in body["members"]):
        Configuration({member.id: member}).encode()
        assert [type(member.id), type(member.url), type(member.voting)] == [int, str, bool]


def test_a_message_without_numbers_of_its_own_is_not_given_one() -> None:
    assert decode_call(encode(SENDER, Hello(1, 2)), 77) == (SENDER, Hello(1, 2))
    assert decode_call(encode(SENDER, TimeoutNow(1, 2, 3, request=5)), 77) == (SENDER, TimeoutNow(1, 2, 3, 77))


@settings(deadline=None)
@given(calls)
def test_a_first_line_that_is_written_otherwise_says_the_same(call: Call) -> None:
    body = encode(replace(SENDER, id=call.source), call)
    spaced = body.replace(b',"format":', b', "format": ', 1)
    assert decode_call(spaced, 1) == decode_call(body, 1)
