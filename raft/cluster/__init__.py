"""Bootstrap, membership administration, and the running member."""
