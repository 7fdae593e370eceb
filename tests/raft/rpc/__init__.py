"""Tests of raft/rpc."""
