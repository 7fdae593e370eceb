"""A whole cluster in one thread and under one seed: real engine, real storage, everything around them simulated.

    schedule.py    simulated time: what happens next
    scenario.py    what a seed chooses: how large, how long, how rough
    disk.py        a disk that loses, tears and refuses
    network.py     calls between members that get lost, late or doubled
    machine.py     what of a member outlives its process: disk, clock, what it promised
    process.py     one life of a member: the driver's work on a Ready, done by hand
    peers.py       what it says to the others: queues, snapshots, answers
    endpoint.py    what it is asked by the others
    forwarding.py  what its clients ask: proposals and reads, here or at the leader
    keeping.py     checkpoints and compactions
    clients.py     people who post and read, and whether what they saw can have been
    lagging_leaders.py  reads where a stale one would show
    invariants.py  what must hold at every step
    outliving.py   leaders that do not know yet that another one leads
    faults.py      what goes wrong, and when it is mended
    world.py       all of it together: `run(seed)`

Nothing here draws from a clock, the system's randomness or the order of a set: a seed is a run.
"""
