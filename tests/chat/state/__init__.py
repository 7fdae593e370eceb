"""Tests of chat/state."""
