"""Tests of chat/realtime."""
