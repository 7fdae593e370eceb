"""The cluster's configuration: voters, learners, the majority, and the changes that may be asked for.

A Configuration is a value.  A change makes a new one that differs by at most one voter (dissertation §4.1), so any
majority of the old one and any majority of the new one share a member.

Levels.  A program's level is a number that grows when the program learns to read something new in the log.  The
cluster's level is the highest that every member has reached; commands that need more are not proposed.  It never falls:
what was written at a level stays in the log.  So a program of a lower level cannot take part any more, and a new member
has to have the level.

Boots.  A member's newest start is recorded with it (boots.py).  That changes no majority, and a recorded boot never
falls.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from raft.core.urls import is_client_url
from raft.errors import ChangeRefused, InvalidMessage

MEMBERS_MAX = 64  # each costs the leader two threads and two connections


@dataclass(frozen=True, slots=True)
class Member:
    """A member of the cluster.  A learner (not `voting`) gets the log without a vote; `promote`: it votes once caught
    up.
    """

    id: int
    url: str  # for peers
    voting: bool
    promote: bool = False
    incarnation: str = ""  # random, made with its data directory; "" until it has been met
    advertise: str = ""  # URL for clients; "" until the member has been met
    level: int = 0  # of its program; 0 until the member has been met
    boot: int = 0  # the newest of its starts that a leader has heard of (boots.py); only grows; 0: none is recorded


@dataclass(frozen=True, slots=True)
class AddMember:
    """Add a member: a learner first, a voter once it has caught up, unless `voting` is False."""

    id: int
    url: str
    voting: bool = True


@dataclass(frozen=True, slots=True)
class RemoveMember:
    """Remove the member for good; its id is never used again."""

    id: int


@dataclass(frozen=True, slots=True)
class PlanPromotion:
    """Let a learner vote once it has caught up.  The intent is in the log, so a new leader carries on with it."""

    id: int


@dataclass(frozen=True, slots=True)
class PromoteMember:
    """Let a learner vote from now on."""

    id: int


@dataclass(frozen=True, slots=True)
class MoveMember:
    """Change the URL where peers reach the member."""

    id: int
    url: str


@dataclass(frozen=True, slots=True)
class DescribeMember:
    """Record what a member reports about itself."""

    id: int
    incarnation: str
    advertise: str
    level: int
    boot: int = 0


Change = AddMember | RemoveMember | PlanPromotion | PromoteMember | MoveMember | DescribeMember


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members from one log index on.  `removed` ids never come back; `cluster_id` is "" until one is committed."""

    members: Mapping[int, Member]
    removed: frozenset[int] = frozenset()
    cluster_id: str = ""
    level: int = 1  # commands up to this level may be proposed; see above
    generation: str = ""  # hex digits, drawn by a sole voter that starts from a copy; "" at first

    @property
    def voters(self) -> tuple[int, ...]:
        """The ids of the members that elect and commit."""
        return tuple(member.id for member in self.members.values() if member.voting)

    def is_voter(self, id: int) -> bool:
        """Return whether member `id` votes."""
        member = self.members.get(id)
        return member is not None and member.voting

    def is_majority(self, ids: Iterable[int]) -> bool:
        """Return whether `ids` contain a majority of the voters.  False without voters."""
        voters = self.voters
        return bool(voters) and len(set(ids).intersection(voters)) > len(voters) // 2

    def agreed_index(self, match_index: Mapping[int, int]) -> int:
        """Return the highest index that a majority of the voters holds (Raft §5.3, Figure 2 "N")."""
        held = sorted((match_index.get(id, 0) for id in self.voters), reverse=True)
        return held[len(held) // 2] if held else 0

    def after(self, change: Change) -> "Configuration":
        """Return the configuration that `change` makes.  Raises ChangeRefused if it makes no sense here."""
        return self._changed(change).raised()

    def raised(self) -> "Configuration":
        """Return the configuration at the level that all members have reached; a member never met has level 0."""
        return replace(self, level=max(self.level, min((m.level for m in self.members.values()), default=0)))

    def _changed(self, change: Change) -> "Configuration":
        match change:
            case AddMember(id, url, voting):
                return self._with_added(Member(id, url, voting=False, promote=voting))
            case RemoveMember(id):
                return self._without(self._known(id))
            case PlanPromotion(id):
                return self._with(replace(self._known(id), promote=not self._known(id).voting))
            case PromoteMember(id):
                return self._with(replace(self._known(id), voting=True, promote=False))
            case MoveMember(id, url):
                known = self._known(id)
                self._check_url(id, url)
                return self._with(replace(known, url=url))
            case DescribeMember(id, incarnation, advertise, level, boot):
                known = self._known(id)
                said = replace(known, incarnation=incarnation, advertise=advertise, level=level)
                return self._with(replace(said, boot=max(known.boot, boot)))

    def _known(self, id: int) -> Member:
        if id not in self.members:
            raise ChangeRefused("unknown_member", f"there is no member {id}")
        return self.members[id]

    def _check_url(self, id: int, url: str) -> None:
        """Raises ChangeRefused: two members at one URL would each get the other's calls."""
        taken = (member.id for member in self.members.values() if member.url.lower() == url.lower() and member.id != id)
        if (other := next(taken, None)) is not None:
            raise ChangeRefused("invalid", f"member {other} has the URL {url}")

    def _with(self, member: Member) -> "Configuration":
        return replace(self, members={**self.members, member.id: member})

    def _with_added(self, member: Member) -> "Configuration":
        if member.id in self.removed:
            raise ChangeRefused("id_used", f"id {member.id} belonged to a removed member; ids are never used again")
        if member.id in self.members:
            raise ChangeRefused("id_used", f"member {member.id} is there already, at {self.members[member.id].url}")
        self._check_url(member.id, member.url)
        if len(self.members) >= MEMBERS_MAX:
            raise ChangeRefused("invalid", f"a cluster has at most {MEMBERS_MAX} members")
        return self._with(member)

    def _without(self, member: Member) -> "Configuration":
        if self.voters == (member.id,):
            raise ChangeRefused("no_majority", f"member {member.id} is the only voter; without it nothing is left")
        members = {id: other for id, other in self.members.items() if id != member.id}
        return replace(self, members=members, removed=self.removed | {member.id})

    def encode(self) -> bytes:
        """Encode as one line of JSON, the same bytes on every member."""
        return json.dumps(
            {
                "cluster_id": self.cluster_id,
                "level": self.level,
                "members": [asdict(member) for _, member in sorted(self.members.items())],
                "removed": sorted(self.removed),
                "generation": self.generation,
            },
            separators=(",", ":"),
        ).encode()


def decode_configuration(body: bytes) -> Configuration:
    """Decode what `encode` made, here or in a later version; unknown fields are ignored.

    Raises InvalidMessage.
    """
    try:
        value = json.loads(body)
        members = [_member(known) for known in value["members"]]
        removed, cluster_id, level = value["removed"], value["cluster_id"], value.get("level", 1)
        generation = value.get("generation", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidMessage(f"a configuration that cannot be read: {type(error).__name__} {error}") from None
    if type(cluster_id) is not str or type(level) is not int or type(removed) is not list:
        raise InvalidMessage("a configuration with a cluster_id, level or removed that is not of its type")
    if type(generation) is not str:
        raise InvalidMessage("a configuration with a generation that is not of its type")
    if not all(type(id) is int and id >= 0 for id in removed):
        raise InvalidMessage("a configuration with an invalid removed id")
    return Configuration({member.id: member for member in members}, frozenset(removed), cluster_id, level, generation)


_MEMBER_FIELDS = fields(Member)


def _member(value: dict[str, Any]) -> Member:
    known = {field.name: value[field.name] for field in _MEMBER_FIELDS if field.name in value}
    for field in _MEMBER_FIELDS:
        if type(known.get(field.name, field.default)) is not field.type:  # not isinstance: True is an int
            raise InvalidMessage(f"a configuration with a {field.name} that is missing or not of its type")
    member = Member(**known)
    if not all(text.isprintable() for text in (member.url, member.incarnation)):
        raise InvalidMessage("a configuration with a text that is not printable")
    if member.advertise and not is_client_url(member.advertise):
        raise InvalidMessage(f"a configuration with an invalid advertised URL: {member.advertise!r}")
    return member
