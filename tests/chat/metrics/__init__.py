"""Tests of chat/metrics."""
