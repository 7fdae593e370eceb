"""A slice of the benchmark that every check runs: what must hold under load, whatever the figures are."""

from tests.benchmarks import against_etcd


def test_64_connections_posting_get_no_error_and_keep_their_leader() -> None:
    with against_etcd.raft_chat() as target:
        against_etcd.measure(target, seconds=3)
