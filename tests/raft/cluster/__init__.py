"""Tests of raft/cluster: whole members in one process."""
