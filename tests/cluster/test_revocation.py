"""A token that is revoked posts nothing any more, on any node, however close the race."""

from pathlib import Path

from tests.cluster.revocation import LATE, POSTED, REFUSED, race

TIMES = 20
POSTERS = 6


def test_no_post_that_is_begun_after_a_revocation_was_acknowledged_succeeds_on_any_node(tmp_path: Path) -> None:
    seen = race(tmp_path, TIMES)
    assert seen.late == {REFUSED: TIMES * POSTERS * LATE}
    assert set(seen.early) <= {POSTED, REFUSED}
    assert seen.early[POSTED] >= TIMES * POSTERS
    assert (seen.standing, seen.lost) == ([], [])
