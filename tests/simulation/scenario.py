"""What a seed chooses before the run begins: the size of the cluster, its timers, and how rough the world is.

Seeds differ in kind, not only in luck: some are calm, so that plain faults of the engine are not hidden by recovery;
some are all storm; most have a few kinds of trouble each, so that a failure says by what it was brought about.
"""

from dataclasses import dataclass
from random import Random

from raft.core.node import Settings


@dataclass(frozen=True, slots=True)
class Scenario:
    """All times in milliseconds; rates are probabilities a message or an operation."""

    size: int
    settings: Settings
    tick_ms: float
    active_ms: float  # then everything heals
    # the network
    latency_ms: float  # mean, one way
    loss: float
    doubled: float
    late: float  # messages that take up to `late_ms`
    late_ms: float
    tame: bool  # as HTTP keeps it: one call at a time on a connection, an answer after the time-out is never seen
    encoded: bool  # every message goes through raft/rpc/codec.py
    # disks
    sync_ms: float  # mean; 0: no time at all
    page_bytes: int
    segment_bytes: int
    tail_entries: int  # what a log keeps in memory
    linger_s: float  # what was replaced stays so long
    chunk_bytes: int
    damage: float  # chunks of snapshots that arrive with a flipped bit
    # clients
    clients: int
    rooms: int
    think_ms: float
    deleting: float  # and of deleting rooms, or bounding them
    reading: float  # how much of what they do is reading
    patience_ms: float  # before a client asks another member
    proposal_timeout_s: float
    apply_ms: float  # how far the applying may lag
    # faults
    fault_every_ms: float  # mean
    faults: tuple[tuple[str, int], ...]  # (name, weight)
    # what goes by its age
    client_ids_kept_s: int
    whims: float  # and commands of all other kinds
    login: bool  # clients have accounts
    clocks: str  # "right"; "few" founders have wrong ones, fewer than half; "wild": any may; "leap": all leap together
    # what becomes of posts
    changing: float  # how much of what clients do is to edit, delete and react
    records_starts: bool  # programs say their boots; and disks are rolled back
    leap_us: int = 0  # by which all clocks leap (`leaps.py`)


CALM = (("transfer", 1), ("add", 1), ("kill", 1), ("compact", 2), ("checkpoint", 1))
FAULTS = (
    ("kill", 6), ("power_cut", 6), ("die_writing", 4), ("crash_majority", 2), ("crash_all", 2),
    ("cut_link", 4), ("partition", 4), ("isolate_leader", 4), ("outlive", 4), ("ring", 1), ("flap", 2),
    ("pause", 4), ("slow_disk", 3), ("disk_error", 2), ("clock", 3),
    ("transfer", 4), ("add", 3), ("remove", 2), ("replace", 2), ("wipe", 1), ("revive", 1),
    ("compact", 6), ("checkpoint", 3), ("oversleep", 2),
)  # fmt: skip
RECORDS_STARTS = 0.4  # of the seeds with three members or more
AS_BEFORE = frozenset({5, 7, 8, 19, 27, 29, 76, 81, 107})  # seeds that the table of faults knew before that


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = Random(seed)
    kind = rng.choices(["calm", "some", "storm"], [1, 6, 2])[0]
    size = rng.choice([1, 2, 3, 3, 3, 3, 4, 5, 5])
    election_ms = rng.choice([150, 300, 300])
    some = [(name, weight * rng.choice([0, 1, 1, 3])) for name, weight in FAULTS]
    faults = {"calm": list(CALM), "some": some, "storm": list(FAULTS)}[kind]
    rough = {"calm": 0, "some": rng.choice([0, 0, 1, 2]), "storm": 3}[kind]
    tame = rng.random() < 0.5
    apart = Random(f"{seed} older copies")  # drawn apart: what came later changes no other seed
    return Scenario(
        size=size,
        settings=Settings(
            election_ms / 5, election_ms, rng.choice([400, 2_000, 1 << 20]), rng.choice([3_000, 64 << 20, 64 << 20])
        ),
        tick_ms=election_ms / rng.choice([10, 20]),
        active_ms=rng.uniform(3_000, 7_000) * election_ms / 300,
        latency_ms=rng.choice([0.2, 1, 1, 5]),
        loss=[0, 0.005, 0.03, 0.1][rough],
        doubled=0 if tame else [0, 0.01, 0.03, 0.1][rough],
        late=[0, 0.01, 0.03, 0.1][rough],
        late_ms=rng.choice([20, 200, 1_000]),
        tame=tame,
        encoded=rng.random() < 0.1,
        sync_ms=rng.choice([0, 0.3, 1, 3, 10]),
        page_bytes=rng.choice([64, 512, 4_096]),
        segment_bytes=rng.choice([1_500, 6_000, 30_000, 1 << 20]),
        tail_entries=rng.choice([4, 30, 8_192]),
        linger_s=rng.choice([0.05, 1, 100]),
        chunk_bytes=rng.choice([100, 1_000, 20_000]),
        damage=[0, 0.02, 0.05, 0.1][rough],
        clients=rng.randint(2, 6),
        rooms=rng.randint(1, 3),
        deleting=rng.choice([0, 0.02, 0.1]),
        reading=rng.choice([0.2, 0.5, 0.8]),
        think_ms=rng.choice([10, 30, 100]),
        patience_ms=rng.choice([200, 600, 1_500]),
        proposal_timeout_s=rng.choice([0.3, 1.0, 4.0]),
        apply_ms=rng.choice([0, 0, 1, 20]),
        fault_every_ms={"calm": 1_500, "some": rng.choice([150, 300, 600]), "storm": 100}[kind],
        faults=tuple(faults) if any(weight for _, weight in faults) else CALM,
        client_ids_kept_s=rng.choice([1, 2, 30]),
        changing=rng.choice([0, 0.05, 0.2]),
        whims=rng.choice([0.02, 0.1]),
        login=rng.random() < 0.3,
        clocks=rng.choice(["right", "few", "few", "wild"]),
        records_starts=size >= 3 and apart.random() < RECORDS_STARTS and seed not in AS_BEFORE,
    )
