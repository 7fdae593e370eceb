"""The commands for backups: make them, check them, and make new clusters of them."""
