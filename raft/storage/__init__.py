"""The log on disk: segments, index files, snapshots, and what a data directory says of itself."""
