"""All benchmarks, in the order of the table."""

from tests.benchmarks import (
    broadcast,
    growth,
    holding,
    posts,
    reads,
    reconnecting,
    rounds,
    servers,
    socket_posts,
    staying,
    ten_million,
)

BENCHMARKS = (
    *posts.BENCHMARKS,
    *servers.BENCHMARKS,
    *rounds.BENCHMARKS,
    *reads.BENCHMARKS,
    *broadcast.BENCHMARKS,
    *socket_posts.BENCHMARKS,
    *reconnecting.BENCHMARKS,
    *growth.BENCHMARKS,
    *holding.BENCHMARKS,
    *staying.BENCHMARKS,
    *ten_million.BENCHMARKS,
)
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
assert len(BY_NAME) == len(BENCHMARKS), "two benchmarks have the same name"
