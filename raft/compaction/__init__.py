"""The rewriting of the log: the policy, the rewrite, and the process that does it."""
