"""Damage in a member's own files: found by a scrub, mended from other members."""
