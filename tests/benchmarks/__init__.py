"""How fast it is, beside what people use today: `python -m tests.benchmarks`.

A benchmark does one thing to ours and the same to a peer, in turn (A B A B): each time from a fresh start, with the
other one stopped, for on few cores what idles beside it would cost the one that is measured.  Absolute figures drift by
a third from hour to hour, so what counts is the ratio within a round, and of that the median over the rounds.

    framework.py    what a benchmark is: Benchmark, Figure, Goal, Round, Setting
    rows.py         all of them, in the order of the table
    posts.py …      the benchmarks, a file a subject
    named_threads.py  starts a node whose threads the kernel knows by name, for rounds.py
    ours.py         clusters of ours, held to keep their leader; etcd.py and others: the peers
    wrk.py          the load: Debian's wrk, not Python, which would measure itself
    pipelined.py    the load of ten-million, over websockets: in Python, at 5 µs of processor a post
    watching.py     who leads, and how much memory the nodes have, from look to look
    running.py      the rounds, and what a machine has to have
    results.py      medians, ratios, goals; JSON
    table.py        the same for people: in a terminal, and in docs/performance.md
    drawing.py      the pictures there; the only file that imports matplotlib

How a row is added.  Write two functions that take a Setting and return a Round: what `ours` came to, and `theirs`.  Put
them into a Benchmark with a Figure for each key of those Rounds, and the Benchmark into the tuple BENCHMARKS of its
file; name a new file in rows.py.  A peer is whatever ours is held against: another program, or ours in another state
(an empty one, the same over HTTP); a benchmark without `theirs` has goals of its own.  A round

- starts all it needs and stops it again, whatever happens, and keeps its files in `setting.directory`;
- raises AssertionError where an answer was an error or something broke: a figure is only worth something without;
- measures for about `setting.seconds`, and takes its sizes from `setting.scaled(…)` and `setting.messages`, so that
  `--quick` takes a second or two: test_quick.py runs one of every kind so, on every check;
- may return series beside its figures (`Round({…}, {"resident MB": [(seconds, megabytes), …]})`) for a picture.

What takes minutes is `long=True` and runs where it is named, or with --all; what takes half an hour is `huge=True` too,
and runs where it is named.  What must be there, programs and Python packages, stands in `needs`.
"""
