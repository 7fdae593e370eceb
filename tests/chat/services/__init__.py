"""Tests of chat/services."""
