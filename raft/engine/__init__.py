"""The lock around the node, the threads beside it, group commit, replication, and applying."""
