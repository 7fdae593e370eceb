"""All benchmarks, in the order of the table."""

from tests.benchmarks import posts, reads, servers

BENCHMARKS = (*posts.BENCHMARKS, *servers.BENCHMARKS, *reads.BENCHMARKS)
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
assert len(BY_NAME) == len(BENCHMARKS), "two benchmarks have the same name"
