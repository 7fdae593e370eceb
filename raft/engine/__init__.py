"""The lock around the node, and the threads beside it: group commit, replication, forwarding, applying."""
