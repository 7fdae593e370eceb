"""Tests of raft/storage."""
