"""Deliberate faults, and whether the simulator, a golden script or another test tells of each.

    patching.py   how a fault gets into a running program, and out again
    mutant.py     what a fault is
    table.py      the faults: what is broken, which section forbids it, and what catches it
    older_copies.py   of these, the ones of how older copies of a member's data are found out
    missed.py     of these, the ones that nothing told of for a long time
    promises.py   and those of files that the simulator does not live
    hunting.py    seed after seed with the fault in, or the test that is named, until something is found
    trying.py     any tests against a fault, in a copy of the tree that has it

The command is `python -m tests.mutants`.
"""
