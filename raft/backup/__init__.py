"""Backups: one checked file of the whole state at one applied index, and new clusters made of it."""
