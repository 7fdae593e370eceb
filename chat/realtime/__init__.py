"""Websockets, server-sent events and presence."""
