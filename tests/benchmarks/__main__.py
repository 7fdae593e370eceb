"""Ours beside its peers, in turn, and what is to be reached.

  python -m tests.benchmarks                        all that take seconds
  python -m tests.benchmarks posts reads            these
  python -m tests.benchmarks --all                  also those that take minutes
  python -m tests.benchmarks ten-million            half an hour and 12 GB of disk: only where it is named
  python -m tests.benchmarks --quick                proof that all of them run, not a measurement
  python -m tests.benchmarks --json docs/performance.json --page docs/performance.md --svg docs
  python -m tests.benchmarks --show docs/performance.json --page docs/performance.md --svg docs

The exit code is 1 where a benchmark failed, or with CI=true could not be run.  A goal that is not met is told, and no
failure: what a machine comes to is not this program's fault.
"""

import argparse
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks import running, table
from tests.benchmarks.framework import Benchmark, Kept
from tests.benchmarks.results import Result, read, write
from tests.benchmarks.rows import BENCHMARKS, BY_NAME


def _options() -> argparse.Namespace:
    usual = running.Plan()
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="see --list")
    parser.add_argument("--list", action="store_true", help="what there is, with its goals")
    parser.add_argument("--all", action="store_true", help="those that take minutes too")
    parser.add_argument("--quick", action="store_true", help="one round of a second, on a small part of everything")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--seconds", type=int, default=usual.seconds, help="of load, in each round")
    parser.add_argument("--messages", type=int, help="that a filled cluster holds: a million, ten of ten-million")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results; what it holds of others stays")
    parser.add_argument("--show", type=Path, metavar="FILE", help="run nothing: tell what this file holds")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="rewrite its table in this page, and show its pictures there"
    )
    parser.add_argument("--svg", type=Path, metavar="DIR", help="draw its pictures (needs the extra 'bench')")
    options = parser.parse_args()
    if (options.page or options.svg) and not (options.json or options.show):
        parser.error("--page and --svg are made of what a file holds: name it by --json or --show")
    return options


def say(line: str) -> None:
    print(line, flush=True)


def _list() -> None:
    for benchmark in BENCHMARKS:
        say(f"{benchmark.name:12} {benchmark.what}{_when(benchmark)}")
        for figure in benchmark.figures:
            peer = benchmark.peer if figure.goal and figure.goal.times else ""
            say(f"{'':14} {figure.name}: {figure.goal or 'told'} {peer or figure.unit}".rstrip())


def _when(benchmark: Benchmark) -> str:
    return "  (where it is named)" if benchmark.huge else "  (--all)" if benchmark.long else ""


def _chosen(options: argparse.Namespace) -> list[Benchmark]:
    if options.names:
        return [BY_NAME[name] for name in options.names]
    if options.quick:
        return list(BENCHMARKS)
    return [benchmark for benchmark in BENCHMARKS if not benchmark.huge and (options.all or not benchmark.long)]


def _run(chosen: Sequence[Benchmark], plan: running.Plan, file: Path | None) -> tuple[list[Result], bool]:
    """The results, written down one by one, and whether everything that should have run did."""
    results: list[Result] = []
    complete = True
    with Kept() as kept:
        for benchmark in chosen:
            if lacking := running.missing(benchmark):
                say(f"{benchmark.name} is not run: it needs {', '.join(lacking)}")
                complete = complete and os.environ.get("CI") != "true"
                continue
            results.append(running.run(benchmark, plan, kept, say))
            if file:
                write(file, results[-1:], list(BY_NAME))
    return results, complete and not any(result.failed for result in results)


def main() -> int:
    options = _options()
    if unknown := set(options.names) - BY_NAME.keys():
        say(f"no such benchmark: {', '.join(sorted(unknown))} (see --list)")
        return 2
    if options.list:
        _list()
        return 0
    if options.svg and importlib.util.find_spec("matplotlib") is None:
        say("--svg needs matplotlib: pip install '.[bench]'")
        return 2
    if options.show:
        results, complete = read(options.show), True
    else:
        plan = running.Plan(options.rounds, options.seconds, options.messages)
        results, complete = _run(_chosen(options), running.Plan.quickly() if options.quick else plan, options.json)
    say(table.for_a_terminal(results))
    file = options.json or options.show
    held = read(file) if file and file.exists() else []
    if options.svg:
        from tests.benchmarks import drawing  # not at the top: it needs matplotlib, and nothing else does

        for drawn in drawing.draw(options.svg, file, held):
            say(f"drawn: {drawn}")
    if options.page:
        table.rewrite(options.page, file, held)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
