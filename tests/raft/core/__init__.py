"""Tests of raft/core."""
