"""Who is in the cluster: voters, learners, the majority, and the changes that may be asked for.

A Configuration is a value; a change makes a new one that differs by one voter at most (dissertation §4.1), so any
majority of the old and any majority of the new one share a member.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from raft.errors import ChangeRefused, InvalidMessage

MEMBERS_MAX = 64  # each costs the leader two threads and two connections


@dataclass(frozen=True, slots=True)
class Member:
    """One member.  A learner (not `voting`) gets the log but has no say; `promote`: it shall vote when caught up."""

    id: int
    url: str  # where its peers reach it
    voting: bool
    promote: bool = False
    incarnation: str = ""  # random, made with its data directory; "" until it has been met
    advertise: str = ""  # where clients reach it; "" until it has been met


@dataclass(frozen=True, slots=True)
class AddMember:
    """A new member: a learner first, a voter once it has caught up unless `voting` is False."""

    id: int
    url: str
    voting: bool = True


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """The member leaves for good; its id is never used again."""

    id: int


@dataclass(frozen=True, slots=True)
class PromoteMember:
    """A learner votes from now on."""

    id: int


@dataclass(frozen=True, slots=True)
class MoveMember:
    """The member is reached under another URL."""

    id: int
    url: str


@dataclass(frozen=True, slots=True)
class DescribeMember:
    """What a member says of itself, kept with the membership."""

    id: int
    incarnation: str
    advertise: str


Change = AddMember | RemoveMember | PromoteMember | MoveMember | DescribeMember
