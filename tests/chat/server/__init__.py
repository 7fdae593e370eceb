"""Tests of chat/server."""
