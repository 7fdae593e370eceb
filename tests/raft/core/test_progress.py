"""The leader's view of one follower."""

from raft.core.progress import Mode, Progress


def replicating(match_index: int = 5) -> Progress:
    progress = Progress(next_index=1, contact_ms=0)
    progress.accepted(match_index)
    return progress


def test_a_probe_does_not_run_ahead() -> None:
    progress = Progress(next_index=9, contact_ms=0)
    progress.sent(12, now_ms=70)
    assert (progress.next_index, progress.in_flight, progress.sent_ms) == (9, True, 70)


def test_replication_runs_ahead_of_what_is_known_to_match() -> None:
    progress = replicating(5)
    progress.sent(12, now_ms=0)
    assert (progress.match_index, progress.next_index) == (5, 13)


def test_an_acceptance_ends_probing() -> None:
    progress = Progress(next_index=9, contact_ms=0)
    progress.accepted(12)
    assert (progress.mode, progress.match_index, progress.next_index) == (Mode.REPLICATE, 12, 13)


def test_of_what_was_sent_a_part_may_be_accepted_and_the_rest_is_sent_again() -> None:
    progress = replicating(5)
    progress.sent(12, now_ms=0)
    progress.accepted(8)
    assert (progress.match_index, progress.next_index) == (8, 9)


def test_match_index_never_falls() -> None:
    progress = replicating(5)
    progress.accepted(3)
    assert (progress.match_index, progress.next_index) == (5, 6)
    progress.rejected(2)
    assert (progress.match_index, progress.next_index, progress.mode) == (5, 6, Mode.PROBE)


def test_a_lost_append_is_sent_again_from_what_is_known_to_match() -> None:
    progress = replicating(5)
    progress.sent(12, now_ms=0)
    progress.lost()
    assert (progress.in_flight, progress.next_index, progress.mode) == (False, 6, Mode.PROBE)


def test_a_lost_probe_is_sent_again_as_it_was() -> None:
    progress = Progress(next_index=9, contact_ms=0)
    progress.sent(12, now_ms=0)
    progress.lost()
    assert (progress.in_flight, progress.next_index, progress.match_index) == (False, 9, 0)
