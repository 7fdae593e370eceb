"""When and how the log is rewritten."""
