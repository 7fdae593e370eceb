"""The longer runs: `python -m tests.monitoring queries|readiness|cost|idle`.  The exit code is 1 where one fails."""

import argparse
import sys
import tempfile
import threading
from pathlib import Path

from tests.monitoring import cost, prometheus, readiness
from tests.monitoring.prometheus import dashboard_queries, without_limit
from tests.monitoring.traffic import traffic

SCRAPE_COST_MAX = 0.01
IDLE_PROCESSOR_MAX = 0.02
IDLE_MEMORY_MAX = 45e6


def queries(directory: Path, seconds: float) -> int:
    """Every query of the dashboard and of the alerts, asked of a Prometheus that has scraped for so long."""
    with (
        readiness.scene(directory) as scene,
        prometheus.running(directory, scene.places, scene.token, 1_000) as found,
        traffic(scene.places),
    ):
        threading.Event().wait(seconds)
        asked = [*dashboard_queries(60), *map(without_limit, found.alerts())]
        empty = 0
        for place, expression in asked:
            values = found.values(expression)
            empty += not values
            shown = ", ".join(f"{value:.4g}" for value in values[:3]) or "NO DATA"
            print(f"{len(values):3} series  {place:45} {shown}")
    print(f"{len(asked)} queries, {empty} without data")
    return 1 if empty else 0


def readyz(directory: Path, rounds: int) -> int:
    """The table of docs/monitoring.md, for each round."""
    print("| the leader is | node | not ready after | ready again after | failed |\n|---|---|---|---|---|")
    with readiness.scene(directory) as scene:
        for _ in range(rounds):
            for row in readiness.all_faults(scene):
                false, true = (f"{s:.2f} s" if s is not None else "never" for s in (row.false_s, row.true_s))
                print(f"| {row.fault} | {row.role} | {false} | {true} | {row.why} |", flush=True)
    return 0


def scrapes(directory: Path, rounds: int, seconds: int) -> int:
    """What a scrape of all nodes each second takes of the rate of posts."""
    found = cost.of_scrapes(directory, rounds, seconds)
    for without, scraped in zip(*found, strict=True):
        print(
            f"without {without.per_second:6.0f} posts/s, {without.processor_us:4.0f} us each; "
            f"scraped {scraped.per_second:6.0f} posts/s, {scraped.processor_us:4.0f} us each"
        )
    print(f"a scrape each second costs {found.rate:.1%} of the rate, {found.processor:.1%} of the processor (medians)")
    return 0 if found.rate <= SCRAPE_COST_MAX else 1


def idle(directory: Path, seconds: float) -> int:
    """The processor and the memory of nodes that nobody uses."""
    failed = 0
    for node, processor, memory_bytes, threads in cost.of_idleness(directory, seconds):
        print(f"node {node}: {processor:.2%} of a core, {memory_bytes / 1e6:.1f} MB, {threads:.0f} threads")
        failed += processor > IDLE_PROCESSOR_MAX or memory_bytes > IDLE_MEMORY_MAX
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", choices=("queries", "readiness", "cost", "idle"))
    parser.add_argument("--seconds", type=int, default=0, help="of scraping, of a window, or of idleness")
    parser.add_argument("--rounds", type=int, default=3)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        if told.run == "queries":
            return queries(path, told.seconds or 60)
        if told.run == "readiness":
            return readyz(path, told.rounds)
        if told.run == "cost":
            return scrapes(path, told.rounds, told.seconds or 2)
        return idle(path, told.seconds or 20)


if __name__ == "__main__":
    sys.exit(main())
