"""Read markers on their way to the state: the newest of each room, in batches, and bounded."""

from chat.services.read_markers import MARKS_MAX, PendingMarkers


def test_of_each_room_the_newest_place_is_told_once() -> None:
    pending_markers = PendingMarkers()
    for by, room, id in [(1, "a", 3), (1, "b", 1), (2, "a", 9), (1, "a", 7), (1, "a", 5)]:
        pending_markers.note((by, room, id))
    assert pending_markers.take(2) == ((1, "a", 7), (1, "b", 1))
    assert pending_markers.take(2) == ((2, "a", 9),)
    assert pending_markers.take(2) == ()


def test_what_could_not_be_told_is_told_again_unless_there_is_newer() -> None:
    pending_markers = PendingMarkers()
    pending_markers.note((1, "a", 3))
    pending_markers.note((1, "b", 3))
    taken = pending_markers.take(9)
    pending_markers.note((1, "a", 4))
    pending_markers.put_back(taken)
    assert sorted(pending_markers.take(9)) == [(1, "a", 4), (1, "b", 3)]


def test_of_reading_and_marking_unread_the_later_one_counts() -> None:
    pending_markers = PendingMarkers()
    pending_markers.note((1, "a", 9))
    pending_markers.note_unread((1, "a", 4))
    assert pending_markers.take(9) == ()
    assert pending_markers.take_unread(9) == ((1, "a", 4),)
    pending_markers.note_unread((1, "a", 4))
    pending_markers.note((1, "a", 5))
    assert (pending_markers.take_unread(9), pending_markers.take(9)) == ((), ((1, "a", 5),))


def test_marking_unread_that_could_not_be_told_is_told_again_unless_there_is_newer() -> None:
    pending_markers = PendingMarkers()
    for room in "abc":
        pending_markers.note_unread((1, room, 4))
    taken = pending_markers.take_unread(9)
    pending_markers.note((1, "a", 5))
    pending_markers.note_unread((1, "b", 6))
    pending_markers.put_back_unread(taken)
    assert sorted(pending_markers.take_unread(9)) == [(1, "b", 6), (1, "c", 4)]
    for number in range(MARKS_MAX + 5):
        pending_markers.note_unread((2, f"room {number}", 1))
    assert len(pending_markers.take_unread(2 * MARKS_MAX)) == MARKS_MAX


def test_whoever_has_the_most_marks_gives_way() -> None:
    pending_markers = PendingMarkers()
    pending_markers.note((1, "a", 1))
    for number in range(MARKS_MAX + 500):
        pending_markers.note((2, f"room {number}", 1))
    taken = pending_markers.take(2 * MARKS_MAX)
    assert len(taken) == MARKS_MAX
    assert taken[0] == (1, "a", 1)


def test_no_more_wait_than_may_and_the_oldest_go() -> None:
    pending_markers = PendingMarkers()
    for by in range(MARKS_MAX + 5):
        pending_markers.note((by, "a", 1))
    taken = pending_markers.take(2 * MARKS_MAX)
    assert (len(taken), taken[0]) == (MARKS_MAX, (5, "a", 1))
