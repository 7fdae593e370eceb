"""Membership changes as they travel to the leader, and what counts as done already.

A repeated request, after an answer that got lost, is not an error: it asks for what is so.
"""

from raft.core.configuration import AddMember, Change, Configuration, MoveMember, PlanPromotion, RemoveMember
from raft.core.raft_messages import ChangeMembership
from raft.errors import InvalidMessage
from raft.rpc.peer_client import parse_peer_url


def change_of(call: ChangeMembership) -> Change:
    """The change that a follower's client asks for.  Raises InvalidMessage.

    A URL that cannot be called would be in the log for ever, and no member could get past it.
    """
    if call.id < 1:
        raise InvalidMessage(f"id: {call.id} is nobody's; ids count from 1")
    match call.change:
        case "AddMember":
            return AddMember(call.id, _callable(call.url), call.voting)
        case "RemoveMember":
            return RemoveMember(call.id)
        case "PlanPromotion":  # a vote is given by the leader itself, once the member has caught up
            return PlanPromotion(call.id)
        case "MoveMember":
            return MoveMember(call.id, _callable(call.url))
    raise InvalidMessage(f"change: {call.change!r} is not known here")


def _callable(url: str) -> str:
    try:
        parse_peer_url(url)
    except ValueError as error:
        raise InvalidMessage(f"url: {error}") from None
    return url


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
        case PlanPromotion():
            return member is not None and (member.voting or member.promote)
    return False
