"""Messages, entries and members in words, for a person who reads a script."""

from raft.core.configuration import Configuration, Member, decode_configuration
from raft.core.raft_messages import (
    AppendEntries,
    AppendEntriesReply,
    Entry,
    HardState,
    InstallSnapshot,
    InstallSnapshotReply,
    Kind,
    Message,
    RequestVote,
    RequestVoteReply,
    SnapshotMeta,
)


def format_members(configuration: Configuration) -> str:
    """`[1 2 +3 ^4]`: members 1 and 2 vote, 3 learns, 4 shall vote when it has caught up.

    A level above 1 is told too, and who is at another one.
    """
    members = (
        f"{'' if m.voting else '^' if m.promote else '+'}{m.id}{_other_level(m, configuration)}"
        for m in configuration.members.values()
    )
    level = f" level {configuration.level}" if configuration.level > 1 else ""
    return f"[{' '.join(members)}]{level}"


def _other_level(member: Member, configuration: Configuration) -> str:
    return f"(level {member.level})" if member.level not in (0, configuration.level) else ""


def format_hard_state(state: HardState) -> str:
    """All three."""
    return f"term {state.current_term}, vote {state.voted_for}, commit {state.commit_index}"


def format_entry(entry: Entry) -> str:
    """`index@term:what it carries`."""
    if entry.kind is Kind.CONFIGURATION:
        carries = format_members(decode_configuration(entry.body))
    else:
        carries = "noop" if entry.kind is Kind.NOOP else entry.body.decode().strip('" ')
    return f"{entry.index}@{entry.term}:{carries}"


def format_snapshot(s: SnapshotMeta) -> str:
    """`snapshot index@term, members since index`."""
    members = format_members(decode_configuration(s.configuration))
    return f"snapshot {s.index}@{s.term}, {members} since {s.configuration_index}"


def format_message(m: Message) -> str:
    """One line, with nothing left out that the protocol looks at."""
    return f"{m.source}->{m.target} {type(m).__name__} term {m.term}, {_content(m)}".rstrip(", ")


def _content(m: Message) -> str:
    if isinstance(m, RequestVote):
        flags = ", pre-vote" * m.pre_vote + ", transfer" * m.transfer
        return f"log ends {m.last_log_index}@{m.last_log_term}{flags}"
    if isinstance(m, RequestVoteReply):
        return ("granted" if m.vote_granted else "refused") + ", pre-vote" * m.pre_vote
    if isinstance(m, AppendEntries):
        entries = f"{m.prev_log_index + 1} to {m.last_index} from disk" if m.entries is None else ""
        entries = entries or " ".join(format_entry(entry) for entry in m.entries or ()) or "empty"
        what = "heartbeat" if m.heartbeat else entries
        return f"after {m.prev_log_index}@{m.prev_log_term}: {what}, commit {m.leader_commit}{_round(m.round)}"
    if isinstance(m, AppendEntriesReply):
        answer = f"holds up to {m.match_index}" if m.success else _refusal(m)
        return f"{answer}{', heartbeat' * m.heartbeat}{_round(m.round)}"
    if isinstance(m, InstallSnapshot):
        return format_snapshot(m.snapshot)
    if isinstance(m, InstallSnapshotReply):
        return f"holds up to {m.match_index}" if m.success else "refused"
    return ""


def _refusal(m: AppendEntriesReply) -> str:
    if m.conflict_term:
        return f"refused after {m.match_index}: term {m.conflict_term} begins at {m.conflict_index}"
    return f"refused after {m.match_index}: log ends at {m.conflict_index - 1}" if m.conflict_index else "refused"


def _round(round: int) -> str:
    return f", round {round}" if round else ""
