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


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members from one log index on.  `removed` ids never come back; `cluster_id` is "" until one is committed."""

    members: Mapping[int, Member]
    removed: frozenset[int] = frozenset()
    cluster_id: str = ""

    @property
    def voters(self) -> tuple[int, ...]:
        """The ids that elect and commit."""
        return tuple(member.id for member in self.members.values() if member.voting)

    @property
    def majority(self) -> int:
        """How many voters decide."""
        return len(self.voters) // 2 + 1

    def is_voter(self, id: int) -> bool:
        """Whether `id` has a say."""
        member = self.members.get(id)
        return member is not None and member.voting

    def is_majority(self, ids: Iterable[int]) -> bool:
        """Whether the voters among `ids` (each counts once) decide.  Without voters nobody does."""
        voters = self.voters
        return bool(voters) and len(set(ids).intersection(voters)) > len(voters) // 2

    def agreed_index(self, match_index: Mapping[int, int]) -> int:
        """The highest index that a majority of the voters holds (Raft §5.3, Figure 2 "N")."""
        held = sorted((match_index.get(id, 0) for id in self.voters), reverse=True)
        return held[len(held) // 2] if held else 0

    def after(self, change: Change) -> "Configuration":
        """The configuration that `change` makes; raises ChangeRefused where it makes no sense here."""
        match change:
            case AddMember(id, url, voting):
                return self._with_added(Member(id, url, voting=False, promote=voting))
            case RemoveMember(id):
                return self._without(self._known(id))
            case PromoteMember(id):
                return self._with(replace(self._known(id), voting=True, promote=False))
            case MoveMember(id, url):
                return self._with(replace(self._known(id), url=url))
            case DescribeMember(id, incarnation, advertise):
                return self._with(replace(self._known(id), incarnation=incarnation, advertise=advertise))

    def _known(self, id: int) -> Member:
        if id not in self.members:
            raise ChangeRefused("unknown_member", f"there is no member {id}")
        return self.members[id]

    def _with(self, member: Member) -> "Configuration":
        return replace(self, members={**self.members, member.id: member})

    def _with_added(self, member: Member) -> "Configuration":
        if member.id in self.removed:
            raise ChangeRefused("id_used", f"id {member.id} belonged to a removed member; ids are never used again")
        if member.id in self.members:
            raise ChangeRefused("id_used", f"member {member.id} is there already, at {self.members[member.id].url}")
        if any(member.url == other.url for other in self.members.values()):
            raise ChangeRefused("invalid", f"another member has the URL {member.url}")
        if len(self.members) >= MEMBERS_MAX:
            raise ChangeRefused("invalid", f"a cluster has at most {MEMBERS_MAX} members")
        return self._with(member)

    def _without(self, member: Member) -> "Configuration":
        if self.voters == (member.id,):
            raise ChangeRefused("no_majority", f"member {member.id} is the only voter; without it nothing is left")
        members = {id: other for id, other in self.members.items() if id != member.id}
        return replace(self, members=members, removed=self.removed | {member.id})

    def encode(self) -> bytes:
        """As JSON, one line, the same bytes on every member."""
        return json.dumps(
            {
                "cluster_id": self.cluster_id,
                "members": [
                    {
                        "id": member.id,
                        "url": member.url,
                        "voting": member.voting,
                        "promote": member.promote,
                        "incarnation": member.incarnation,
                        "advertise": member.advertise,
                    }
                    for _, member in sorted(self.members.items())
                ],
                "removed": sorted(self.removed),
            },
            separators=(",", ":"),
        ).encode()


def decode_configuration(body: bytes) -> Configuration:
    """What `encode` made.  Raises InvalidMessage."""
    try:
        value = json.loads(body)
        members = [Member(**fields) for fields in value["members"]]
        return Configuration({m.id: m for m in members}, frozenset(value["removed"]), value["cluster_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidMessage(f"a configuration that cannot be read: {error!r}") from None
