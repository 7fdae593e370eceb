"""Secrets of clusters, in files as --cluster-secret-file wants them."""

from pathlib import Path

SECRET, OTHER = "s" * 44, "o" * 44


def secret_file(directory: Path, *keys: str) -> Path:
    """A file with these keys, or with SECRET."""
    path = directory / "secret"
    path.write_text("".join(f"{key}\n" for key in keys or (SECRET,)))
    path.chmod(0o600)
    return path
