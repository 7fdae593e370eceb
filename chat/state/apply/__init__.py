"""What each command does to the replicated state."""
