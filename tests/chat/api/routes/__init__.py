"""Tests of chat/api/routes."""
