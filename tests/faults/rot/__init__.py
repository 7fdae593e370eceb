"""Disks that rot under running nodes, and what the nodes make of it."""
