"""Who may change what somebody else has said, where there is a login; and who may react."""

import pytest

from chat.commands import Actor, Post
from chat.commands.posts import DeletePost, EditedPost, EditPost, React, Tombstone
from chat.commands.rooms import ChangeMembers, CreateRoom
from chat.state.events import PostChanged, Reacted
from chat.state.results import Posted, RoomMade
from chat.state.room_details import DIRECT, PRIVATE, PUBLIC
from tests.chat.people import People
from tests.chat.random_log import START, STEP


class House(People):
    """A room of bob's in which eve and gus are members, and have each said something."""

    def __init__(self, visibility: str) -> None:
        super().__init__()
        self.room = "general" if visibility == PUBLIC else f"general~{'a' * 10}"
        members = ("eve", "gus") if visibility == DIRECT else ()
        self.made(CreateRoom(self.by["bob"], self.room, visibility, members=members), RoomMade)
        if visibility != DIRECT:
            self.do(ChangeMembers(self.by["bob"], self.room, ("eve", "gus"), True))
        self.at = {
            name: self.made(Post(self.room, name, "hi", f"of {name}", 0, self.by[name].by), Posted).index
            for name in ("eve", "gus")
        }

    def edit(self, name: str, author: str) -> EditPost:
        at = self.at[author]
        return EditPost(
            self.by[name],
            self.room,
            1 + (author == "gus"),
            at,
            START + at * STEP,
            EditedPost(author, "ho", f"of {author}"),
        )

    def delete(self, name: str, author: str) -> DeletePost:
        at = self.at[author]
        tombstone = Tombstone(author, f"of {author}")
        return DeletePost(self.by[name], self.room, 1 + (author == "gus"), at, START + at * STEP, tombstone)


@pytest.mark.parametrize("visibility", [PUBLIC, PRIVATE])
def test_an_admin_changes_what_anybody_said_and_the_owner_takes_it_back(visibility: str) -> None:
    house = House(visibility)
    assert house.refusal(house.edit("bob", "eve")) == "not_the_author"
    assert house.refusal(house.edit("eve", "gus")) == "not_the_author"
    assert house.refusal(house.delete("eve", "gus")) == "not_the_author"
    edited = house.made(house.edit("ann", "eve"), PostChanged)
    assert b'"User":"eve","Message":"ho"' in edited.post
    house.made(house.edit("gus", "gus"), PostChanged)
    house.made(house.delete("bob", "gus"), PostChanged)
    house.made(house.delete("ann", "eve"), PostChanged)


def test_in_a_direct_room_each_changes_his_own() -> None:
    house = House(DIRECT)
    for name in ("bob", "gus"):
        assert house.refusal(house.edit(name, "eve")) == "not_the_author"
        assert house.refusal(house.delete(name, "eve")) == "not_the_author"
    assert house.refusal(house.delete("ann", "eve")) == "no_such_room"
    house.made(house.delete("eve", "eve"), PostChanged)


def test_who_is_no_member_of_a_private_room_does_not_react_there() -> None:
    house = House(PRIVATE)
    assert house.refusal(React(house.by["ann"], house.room, 1, "+", True)) == "forbidden"
    reacted = house.made(React(Actor(house.by["gus"].by), house.room, 1, "+", True), Reacted)
    assert reacted.user == "gus", "whose token it is, though the command does not name him"
