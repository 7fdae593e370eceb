"""All benchmarks, in the order of the table."""

from tests.benchmarks import posts

BENCHMARKS = (*posts.BENCHMARKS,)
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
assert len(BY_NAME) == len(BENCHMARKS), "two benchmarks have the same name"
