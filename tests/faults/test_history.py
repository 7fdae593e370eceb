"""The check sees what it is there to see: every kind of wrong history is told, a right one is not."""

from typing import Any

import pytest

from tests.faults.history import History, longest_gap
from tests.faults.schedule import KINDS, Schedule


def post(
    id: int, *, message: str = "hi", client_id: str | None = None, at: str = "2026-11-23T10:00:00Z"
) -> dict[str, Any]:
    return {"Id": id, "User": "ann", "ClientId": client_id or f"c{id}", "Message": message, "PostedAt": at}


def two_posts() -> tuple[History, list[dict[str, Any]]]:
    """A history of one room with two posts, acknowledged one after the other."""
    history = History()
    posts = [post(1), post(2)]
    for told in posts:
        history.acknowledge(history.begin("general", "ann", told["ClientId"], "hi"), told)
    return history, posts


def test_a_right_history_is_not_complained_of() -> None:
    history, posts = two_posts()
    unknown = history.begin("general", "ann", "c3", "hi")
    history.read("general", history.reach("general"), posts[1:], "reader")
    history.see("general", post(3), "listener")
    history.check_final({"general": [*posts, post(3)]})
    assert history.violations == []
    assert unknown.id is None


@pytest.mark.parametrize(
    ("final", "words"),
    [
        ([post(1)], "lost"),
        ([post(1), post(2), post(3, client_id="c1")], "doubled"),
        ([post(1), post(3)], "do not count from 1"),
        ([post(1, client_id="c2"), post(2, client_id="c1")], "another post was told before"),
        ([post(1), post(2, message="other")], "another post was told before"),
        ([post(1), post(2), post(3)], "nobody posted"),
        ([post(1), post(2, at="2026-11-23T09:00:00Z")], "PostedAt goes backwards"),
    ],
)
def test_a_wrong_list_in_the_end_is_told(final: list[dict[str, Any]], words: str) -> None:
    history, _ = two_posts()
    history.check_final({"general": final})
    assert any(words in violation for violation in history.violations), history.violations


def test_a_post_before_one_that_was_acknowledged_before_it_was_begun_is_told() -> None:
    history = History()
    history.acknowledge(history.begin("general", "ann", "c2", "hi"), post(2))
    history.begin("general", "ann", "c1", "hi")
    history.check_final({"general": [post(1), post(2)]})
    (violation,) = history.violations
    assert "before it was begun" in violation


def test_a_read_that_misses_what_was_acknowledged_is_told() -> None:
    history, posts = two_posts()
    history.read("general", history.reach("general"), posts[:1], "reader")
    (violation,) = history.violations
    assert "stale" in violation


def test_a_read_that_goes_behind_an_earlier_one_is_told() -> None:
    history = History()
    history.begin("general", "ann", "c1", "hi")
    history.read("general", history.reach("general"), [post(1)], "reader1")
    history.read("general", history.reach("general"), [], "reader2")
    (violation,) = history.violations
    assert "stale" in violation


def test_a_read_that_began_before_the_post_was_acknowledged_may_miss_it() -> None:
    history = History()
    before = history.reach("general")
    history.acknowledge(history.begin("general", "ann", "c1", "hi"), post(1))
    history.read("general", before, [], "reader")
    assert history.violations == []


def test_a_page_with_a_hole_is_told() -> None:
    history, _ = two_posts()
    history.read("general", 0, [post(1), post(3)], "reader")
    assert any("a page of general" in violation for violation in history.violations)


def test_another_answer_to_a_retry_is_told() -> None:
    history = History()
    tried = history.begin("general", "ann", "c1", "hi")
    history.acknowledge(tried, post(1))
    history.acknowledge(tried, post(2, client_id="c1"))
    assert any("doubled" in violation for violation in history.violations)


def test_a_frame_that_differs_from_the_answer_is_told() -> None:
    history, posts = two_posts()
    history.see("general", posts[0] | {"PostedAt": "2026-11-23T11:00:00Z"}, "listener")
    (violation,) = history.violations
    assert violation.startswith("listener")


def test_the_longest_gap_counts_from_the_first_moment_to_the_last() -> None:
    assert longest_gap([2.0, 3.0], 0.0, 4.0) == (2.0, 0.0)
    assert longest_gap([0.5, 1.0], 0.0, 4.0) == (3.0, 1.0)
    assert longest_gap([], 1.0, 4.0) == (3.0, 1.0)


@pytest.mark.parametrize("size", [3, 5])
def test_a_seed_draws_the_same_faults_and_every_kind_of_them(size: int) -> None:
    schedules = [Schedule(7, range(1, size + 1), list(KINDS)) for _ in range(2)]
    first, second = ([schedule.next(1) for _ in range(200)] for schedule in schedules)
    assert first == second
    assert {fault.kind for fault in first} == set(KINDS)
    for fault in first:
        assert fault.dead or fault.paused or fault.blocked or fault.loss or fault.clocks_s, fault
    cuts = [fault.blocked for fault in first if fault.kind == "net"]
    assert any((target, source) not in cut for cut in cuts for source, target in cut), "no link was cut one way"
    assert all(source != target for cut in cuts for source, target in cut)
