"""Hashes of files. Those of the files that decide numbers, besides the frames of clips, are part of the keys."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path


def file_hash(path: Path) -> str:
    """Return the blake2b hash of a file, 32 hexadecimal digits. Raise OSError if it cannot be read.

    Each file is read once in a process, unless its size, its modification time or its inode has changed since.
    """
    facts = path.stat()
    return _hash(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


def hash_if_readable(path: Path) -> str | None:
    """Return the hash of a file as `file_hash` does, or None if it is missing or cannot be read."""
    try:
        return file_hash(path) if path.is_file() else None
    except OSError:
        return None


def states(paths: Sequence[Path]) -> list[list[str | None]]:
    """Return the name and the hash of each file as JSON values; the hash is None where the file cannot be read."""
    return [[path.name, hash_if_readable(path)] for path in paths]


@functools.lru_cache(maxsize=100_000)
def _hash(path: Path, size: int, changed: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
