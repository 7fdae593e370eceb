"""Tests of raft/engine."""
