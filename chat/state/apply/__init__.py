"""Appliers: the change that each command makes in the replicated state."""
