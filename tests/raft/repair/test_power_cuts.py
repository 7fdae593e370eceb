"""The power fails within a repair; `power_walk` has the scenes, and walks over all of each."""

import pytest

from tests.raft.repair.power_walk import SCENES, Walk

EVERY = 10  # operations of a scene; each scene begins with another one


@pytest.mark.repeated
@pytest.mark.parametrize("scene", SCENES)
def test_a_power_cut_within_a_repair_loses_nothing_and_brings_no_wrong_record(scene: str) -> None:
    walk = Walk(scene)
    walk.run(list(SCENES).index(scene) % EVERY, EVERY)
    assert walk.operations > EVERY
    assert walk.starts > 2
