"""Membership changes as they travel to the leader, and what counts as done already.

A repeated request, after an answer that got lost, is not an error: it asks for what is so.
"""

from raft.errors import InvalidMessage
from raft.membership import AddMember, Change, Configuration, MoveMember, PromoteMember, RemoveMember
from raft.messages import ChangeMembership


def change_of(call: ChangeMembership) -> Change:
    """The change that a follower's client asks for.  Raises InvalidMessage."""
    match call.change:
        case "AddMember":
            return AddMember(call.id, call.url, call.voting)
        case "RemoveMember":
            return RemoveMember(call.id)
        case "PromoteMember":
            return PromoteMember(call.id)
        case "MoveMember":
            return MoveMember(call.id, call.url)
    raise InvalidMessage(f"change: {call.change!r} is not known here")


def is_so_already(configuration: Configuration, change: Change) -> bool:
    """Whether `configuration` has what `change` asks for."""
    member = configuration.members.get(change.id)
    match change:
        case AddMember(_, url, voting):
            return member is not None and member.url == url and (member.voting or member.promote) == voting
        case MoveMember(_, url):
            return member is not None and member.url == url
        case RemoveMember(id):
            return id in configuration.removed
        case PromoteMember():
            return member is not None and member.voting
    return False
