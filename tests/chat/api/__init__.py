"""Tests of chat/api."""
