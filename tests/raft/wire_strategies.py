"""Every message that members send each other, for hypothesis."""

import string

from hypothesis import strategies as st

from raft.core.configuration import Configuration, Member
from raft.core.entries import clock_entry, command_entry, configuration_entry, noop_entry
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    InstallSnapshot,
    InstallSnapshotReply,
    ProposalId,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
    TimeoutNow,
    TimeoutNowReply,
)
from raft.rpc.calls import (
    AcceptClock,
    ChangeMembership,
    ChangeMembershipReply,
    FetchedEntries,
    FetchEntries,
    Hello,
    HelloReply,
    Notice,
    NoticeReply,
    Propose,
    ProposeReply,
    ReadIndex,
    ReadIndexReply,
    RecordedBoot,
    Sender,
    SnapshotChunk,
    SnapshotChunkReply,
    TransferLeadership,
    WantSnapshot,
    WantSnapshotReply,
)
from raft.rpc.codec import NUMBER_MAX, Answer, Call

numbers = st.one_of(st.integers(0, 5), st.integers(0, NUMBER_MAX))
ids = st.one_of(st.integers(1, 5), st.integers(1, NUMBER_MAX))
flags = st.booleans()
texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30).filter(str.isprintable)
commands = st.sampled_from([b"1", b"{}", b'{"Message":"\xc3\xa4\\n"}', b'"}"', b"[[],null]"])
urls = st.integers(1, 65535).map(lambda port: f"http://127.0.0.1:{port}")
advertised = st.one_of(st.just(""), urls)
boots = st.sets(ids, max_size=3).map(lambda drawn: tuple(sorted(drawn)))
senders = st.builds(Sender, ids, texts, texts, advertised, ids, boots)

members = st.builds(Member, ids, urls, flags, flags, texts, advertised, numbers, numbers)
configurations = st.builds(
    Configuration,
    st.lists(members, max_size=3).map(lambda found: {member.id: member for member in found}),
    st.frozensets(ids, max_size=3),
    st.text(string.hexdigits, max_size=16),
    ids,
)
proposal_ids = st.builds(ProposalId, ids, numbers, numbers, numbers)


snapshots = st.builds(SnapshotMeta, numbers, numbers, numbers, numbers, configurations.map(Configuration.encode))
chunk_lines = st.sampled_from([b"", b"\n", b"00000000 {}\n12345678 {}\n", b"no line", bytes(range(256))])


def entry(draw: st.DrawFn, index: int, term: int) -> Entry:
    """Any entry for this place."""
    time = draw(st.integers(0, 1 << 52))
    match draw(st.integers(0, 3)):
        case 0:
            return command_entry(index, term, time, draw(proposal_ids), draw(commands))
        case 1:
            return clock_entry(index, term, time, draw(st.integers(0, 1 << 52)))
        case 2:
            return configuration_entry(index, term, time, draw(configurations).encode())
        case _:
            return noop_entry(index, term, time)


@st.composite
def appends(draw: st.DrawFn) -> AppendEntries:
    """With entries that follow on."""
    prev_log_index = draw(st.integers(0, NUMBER_MAX - 10))
    terms = sorted(draw(st.lists(numbers, min_size=2, max_size=6)))
    entries = tuple(entry(draw, prev_log_index + 1 + n, term) for n, term in enumerate(terms[1:-1]))
    return AppendEntries(
        draw(ids), draw(ids), terms[-1], prev_log_index, terms[0], entries, draw(numbers), draw(numbers), draw(flags),
        draw(numbers), draw(numbers), draw(numbers),
    )  # fmt: skip


@st.composite
def proposes(draw: st.DrawFn) -> Propose:
    """A member's own proposals."""
    source = draw(ids)
    own = st.builds(ProposalId, st.just(source), numbers, numbers, numbers)
    return Propose(source, draw(ids), tuple(draw(st.lists(st.tuples(own, commands), max_size=4))))


ascending = st.sets(st.integers(1, NUMBER_MAX - 10), min_size=1, max_size=5).map(lambda some: tuple(sorted(some)))


@st.composite
def fetched(draw: st.DrawFn) -> FetchedEntries:
    """Entries with gaps."""
    return FetchedEntries(
        draw(numbers), tuple(entry(draw, index, draw(numbers)) for index in draw(st.one_of(st.just(()), ascending)))
    )


calls: st.SearchStrategy[Call] = st.one_of(
    appends(),
    proposes(),
    st.builds(RequestVote, ids, ids, numbers, numbers, numbers, flags, flags, numbers),
    st.builds(InstallSnapshot, ids, ids, numbers, snapshots, st.just(False), numbers),
    st.builds(SnapshotChunk, ids, ids, numbers, numbers, numbers, numbers, chunk_lines),
    st.builds(TimeoutNow, ids, ids, numbers, numbers),
    st.builds(ReadIndex, ids, ids, numbers),
    st.builds(WantSnapshot, ids, ids, numbers),
    st.builds(ChangeMembership, ids, ids, texts, numbers, texts, flags),
    st.builds(TransferLeadership, ids, ids, numbers),
    st.builds(AcceptClock, ids, ids),
    st.builds(Hello, ids, ids),
    st.builds(RecordedBoot, ids, ids, numbers),
    st.builds(FetchEntries, ids, ids, ascending),
    st.builds(Notice, ids, ids, st.one_of(st.binary(max_size=300), chunk_lines)),
)
answers: st.SearchStrategy[Answer] = st.one_of(
    st.builds(RequestVoteReply, ids, ids, numbers, flags, flags),
    st.builds(AppendEntriesReply, ids, ids, numbers, flags, numbers, numbers, flags, numbers, numbers),
    st.builds(InstallSnapshotReply, ids, ids, numbers, flags, numbers),
    st.builds(SnapshotChunkReply, numbers),
    st.builds(NoticeReply, numbers, texts),
    fetched(),
    st.builds(TimeoutNowReply, ids, ids, numbers),
    st.builds(ProposeReply, flags, numbers),
    st.builds(ReadIndexReply, numbers),
    st.builds(WantSnapshotReply, flags),
    st.builds(ChangeMembershipReply, texts, texts, numbers, numbers),
    st.builds(
        HelloReply,
        st.dictionaries(st.integers(0, 10**14), texts, max_size=3),
        st.dictionaries(st.integers(0, 10**14), texts, max_size=3),
        st.lists(numbers, max_size=3).map(tuple),
        numbers,
    ),
)
