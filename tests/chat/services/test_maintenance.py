"""What a node does by itself: only a leader, one step after the other, and by the time that most members have."""

import pytest

from chat import commands
from chat.auth.token_activity import TokenActivity
from chat.commands import LEVEL, OPERATOR, Actor, Post, decode, encode
from chat.commands.accounts import CreateInvite, RecordTokenUse
from chat.commands.cluster import Expire, ExpireCredentials, Forget, SetAuth, SetSettings
from chat.commands.rooms import ChangeRoom
from chat.services.maintenance import FORGET_EVERY_S, USES_EVERY_S, Maintenance
from chat.state.apply import credentials
from chat.state.apply.expiry import CLIENT_IDS_KEPT_S, EXPIRE_ROOMS
from chat.state.client_ids import BUCKETS_MIN
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Done, Posted, Repeated
from chat.state.room import PageRequest
from raft.errors import Unavailable
from tests.support.fake_replica import FakeReplica


class Kept:
    """A node of one, whose clocks are the test's."""

    def __init__(self, auth: SetAuth | None = None) -> None:
        self.state = ChatState()
        self.replica = FakeReplica(self.state)
        self.monotonic_s = 1000.0
        self.token_activity = TokenActivity()
        self.looks = 0
        self.maintenance = Maintenance(
            self.replica,
            self.state,
            lambda: self.monotonic_s,
            auth=auth,
            token_activity=self.token_activity,
            look=self._look,
        )

    def _look(self) -> None:
        self.looks += 1

    def post(self, client_id: str) -> object:
        return self.replica.commit(encode(Post("general", "ann", client_id, client_id)))

    def proposed(self) -> list[object]:
        """What the node has proposed once it has nothing to do."""
        before = len(self.replica.proposed)
        while self.maintenance.step():
            pass
        return [decode(body) for body in self.replica.proposed[before:]]

    def passes(self, seconds: float) -> None:
        self.replica.now += int(seconds * 1_000_000)
        self.monotonic_s += seconds


def test_a_command_that_a_member_does_not_know_is_not_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands._LEVELS, Forget, LEVEL + 1)
    kept = Kept()
    kept.post("c1")
    kept.passes(2 * CLIENT_IDS_KEPT_S)
    assert kept.proposed() == []
    kept.replica.level = LEVEL + 1
    kept.passes(FORGET_EVERY_S)
    assert [type(command) for command in kept.proposed()] == [Forget]


def test_what_only_the_leader_does_no_other_node_proposes() -> None:
    kept = Kept()
    kept.post("c1")
    kept.passes(2 * CLIENT_IDS_KEPT_S)
    kept.replica.leads = False
    assert kept.proposed() == []
    kept.replica.leads = True
    assert [type(command) for command in kept.proposed()] == [Forget]


def test_nothing_goes_while_the_leader_does_not_know_what_time_it_is() -> None:
    kept = Kept()
    kept.replica.clocks_known = False
    assert kept.proposed() == []
    kept.post("c1")
    kept.passes(2 * CLIENT_IDS_KEPT_S)
    assert kept.proposed() == []
    kept.replica.clocks_known = True
    assert [type(command) for command in kept.proposed()] == [Forget]


def test_client_ids_are_forgotten_after_a_day_and_not_before() -> None:
    kept = Kept()
    assert isinstance(kept.post("c1"), Posted)
    kept.passes(CLIENT_IDS_KEPT_S - 10)
    assert kept.proposed() == []
    assert isinstance(kept.post("c1"), Repeated)
    kept.passes(FORGET_EVERY_S)
    (step,) = kept.proposed()
    assert isinstance(step, Forget)
    assert kept.state.ask(lambda tables: len(tables.client_ids)) == 0
    assert isinstance(kept.post("c1"), Posted)
    assert kept.proposed() == []


def test_what_was_not_forgotten_at_one_look_is_at_the_next_hour() -> None:
    kept = Kept()
    kept.post("c1")
    kept.passes(CLIENT_IDS_KEPT_S)
    kept.post("c2")
    assert len(kept.proposed()) == 1
    kept.passes(CLIENT_IDS_KEPT_S)
    assert len(kept.proposed()) == 1
    kept.post("c3")
    kept.passes(FORGET_EVERY_S - 1)
    assert kept.proposed() == []
    kept.passes(2)
    assert kept.proposed() == []
    assert kept.state.ask(lambda tables: len(tables.client_ids)) == 1


def test_many_client_ids_are_forgotten_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    for number in range(2_000):
        kept.post(f"c{number}")
    kept.passes(CLIENT_IDS_KEPT_S)
    monkeypatch.setattr("chat.state.apply.expiry.LOOK_BUCKETS", 16)
    monkeypatch.setattr("chat.state.apply.expiry.FORGET_BUCKETS", 8)
    found = kept.proposed()
    assert [step.first for step in found if isinstance(step, Forget)] == list(range(0, BUCKETS_MIN, 8))
    assert kept.state.ask(lambda tables: len(tables.client_ids)) == 0


def test_a_step_of_any_numbers_does_no_harm() -> None:
    kept = Kept()
    kept.post("c1")
    kept.passes(CLIENT_IDS_KEPT_S)
    for step in (Forget(0, 0, 1 << 62), Forget(1 << 62, -5, 3), Forget(1 << 62, 1 << 62, 5), Forget(1 << 62, 5, -5)):
        assert isinstance(kept.replica.commit(encode(step)), Done)
        assert isinstance(kept.post("c1"), Repeated)


def test_a_step_that_was_not_carried_out_is_proposed_again() -> None:
    kept = Kept()
    kept.post("c1")
    kept.passes(CLIENT_IDS_KEPT_S)
    kept.replica.unavailable = True
    assert kept.proposed() == []
    kept.replica.unavailable = False
    kept.passes(FORGET_EVERY_S)
    assert [type(command) for command in kept.proposed()] == [Forget]


def test_a_leader_that_knows_no_level_yet_proposes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(replica: FakeReplica) -> int:
        raise Unavailable("not yet")

    kept = Kept()
    del kept.replica.level
    monkeypatch.setattr(FakeReplica, "level", property(unknown), raising=False)
    assert kept.proposed() == []


def test_posts_that_are_too_old_go_from_many_rooms_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Kept()
    rooms = [f"room-{number:03}" for number in range(3 * EXPIRE_ROOMS)]
    for room in rooms:
        kept.replica.commit(encode(Post(room, "ann", "hi", room)))
    for room in rooms[: 2 * EXPIRE_ROOMS]:
        kept.replica.commit(encode(ChangeRoom(Actor(), room, max_age_seconds=3_600)))
    assert kept.proposed() == []
    kept.passes(3_600)
    monkeypatch.setattr("chat.state.apply.expiry.LOOK_ROOMS", 100)
    steps = [kept.maintenance.due() for _ in range(8)]
    told = [step.rooms for step in steps if isinstance(step, Expire)]
    assert max(map(len, told)) <= EXPIRE_ROOMS
    assert {name for names in told for name in names} == {*rooms[: 2 * EXPIRE_ROOMS]}
    kept.maintenance._room = 0
    assert all(isinstance(step, Expire) for step in kept.proposed())
    while kept.maintenance._room:
        kept.proposed()
    assert [kept.state.page(room, PageRequest()).positions == [] for room in rooms].count(True) == 2 * EXPIRE_ROOMS
    assert [kept.maintenance.due() for _ in range(8)] == [None] * 8


def test_how_old_posts_are_is_told_by_the_clock_that_most_members_have() -> None:
    kept = Kept()
    kept.post("c1")
    kept.replica.commit(encode(ChangeRoom(Actor(), "general", max_age_seconds=60)))
    kept.monotonic_s += 10**6
    assert kept.proposed() == []
    kept.passes(61)
    (step,) = kept.proposed()
    assert step == Expire(kept.replica.now - 1_500_000, ("general",))


def test_rooms_that_nobody_uses_go_one_in_a_step() -> None:
    kept = Kept()
    kept.replica.commit(encode(SetSettings(Actor(), unused_room_seconds=3_600)))
    for room in ("a", "b", "c"):
        kept.replica.commit(encode(Post(room, "ann", "hi", room)))
    kept.passes(3_000)
    kept.replica.commit(encode(Post("b", "ann", "hi", "again")))
    assert kept.proposed() == []
    kept.passes(600)
    assert [step.gone for step in kept.proposed() if isinstance(step, Expire)] == ["a", "c"]
    assert [room.name for room in kept.state.rooms(NamePageRequest(9))[1]] == ["b"]


def test_credentials_go_when_they_are_over_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "LOOK_CREDENTIALS", 3)
    monkeypatch.setattr(credentials, "EXPIRE_CREDENTIALS", 2)
    kept = Kept()
    kept.replica.commit(encode(SetAuth(Actor(OPERATOR), "login", "invite")))
    ends = [0, kept.replica.now + 60_000_000] * 4
    for number, end in enumerate(ends):
        invite = CreateInvite(Actor(OPERATOR), bytes([number]) * 32, "guest", (), 1, end, "")
        assert isinstance(kept.replica.commit(encode(invite)), Done)
    for _ in ends:
        assert kept.proposed() == []
    kept.passes(61)
    steps = [step for _ in ends for step in kept.proposed()]
    assert all(isinstance(step, ExpireCredentials) and 0 < len(step.invites) <= 2 for step in steps)
    assert kept.state.ask(lambda tables: {invite.expires_at for invite in tables.invites.values()}) == {0}
    assert kept.state.ask(lambda tables: len(tables.invites)) == 4


WISH = SetAuth(Actor(OPERATOR), "login", "open")


def mode(kept: Kept) -> tuple[str, str]:
    return kept.state.ask(lambda tables: (tables.settings.auth, tables.settings.signup))


def test_a_node_that_was_started_with_a_login_has_the_cluster_ask_for_one_whoever_leads() -> None:
    kept = Kept(auth=WISH)
    kept.replica.leads = False
    assert kept.proposed() == [WISH]
    assert mode(kept) == ("login", "open")
    assert kept.proposed() == []
    kept.replica.commit(encode(SetAuth(Actor(OPERATOR), "login", "invite")))
    assert kept.proposed() == []
    kept.replica.commit(encode(SetAuth(Actor(OPERATOR), "open", "invite")))
    assert kept.proposed() == [WISH]


def test_a_node_that_is_behind_undoes_nothing() -> None:
    """It was open when this node was last told; since then a login was asked for, and then how one signs up."""
    kept = Kept(auth=WISH)

    def catch_up() -> None:
        kept.replica.commit(encode(SetAuth(Actor(OPERATOR), "login", "invite")))
        kept.replica.release_reads()

    kept.replica.holds_reads, kept.replica.on_read_held = True, catch_up
    assert kept.proposed() == []
    assert mode(kept) == ("login", "invite")


def test_without_a_majority_nothing_is_asked_for_and_nothing_said() -> None:
    kept = Kept(auth=WISH)
    kept.replica.unavailable = True
    assert kept.proposed() == []
    assert kept.looks == 0
    kept.replica.unavailable = False
    assert kept.proposed() == [WISH]
    assert kept.looks > 0


def test_uses_of_tokens_are_told_every_few_seconds_by_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.services.maintenance.USES", 2)
    kept = Kept()
    kept.replica.leads = False
    assert kept.proposed() == []
    for number in (1, 2, 3):
        kept.token_activity.note(number, 7)
    assert kept.proposed() == []
    kept.passes(USES_EVERY_S)
    assert kept.proposed() == [RecordTokenUse((1, 2))]
    kept.passes(USES_EVERY_S)
    assert kept.proposed() == [RecordTokenUse((3,))]
    kept.token_activity.note(4, 7)
    assert kept.proposed() == []
    kept.replica.unavailable = True
    kept.passes(USES_EVERY_S)
    assert kept.proposed() == []
    kept.replica.unavailable = False
    kept.passes(USES_EVERY_S)
    assert kept.proposed() == [RecordTokenUse((4,))]
