"""Files that decide numbers besides the frames of clips: they enter the keys by name and content."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path


def states(paths: Sequence[Path]) -> list[list[str | None]]:
    """Return the name and the hash of each file, None for one that is not there; as JSON values."""
    return [[path.name, file_hash(path)] for path in paths]


def file_hash(path: Path) -> str | None:
    """Return the blake2b of a file, 32 hexadecimal digits; None if it is not there or cannot be read.

    A file is read once in a process, as long as its size, its time of change and its place on the disk stay.
    """
    try:
        facts = path.stat()
        return _hash(path, facts.st_size, facts.st_mtime_ns, facts.st_ino) if path.is_file() else None
    except OSError:
        return None


@functools.lru_cache(maxsize=100_000)
def _hash(path: Path, size: int, changed: int, inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
