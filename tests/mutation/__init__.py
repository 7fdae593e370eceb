"""Deliberate faults of the engine, and whether the simulator or a golden script tells of each.

    patching.py   how a fault gets into a running program, and out again
    table.py      the faults: what is broken, which section forbids it, and what catches it
    hunting.py    seed after seed with the fault in, until something is found

The command is `python -m tests.mutants`.
"""
