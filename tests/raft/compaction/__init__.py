"""Tests of raft/compaction."""
