"""Use cases: check the input, build the command, propose it, read what came of it."""
