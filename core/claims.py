"""Who is at what: a lock in the store for each piece of work, so that processes that share a store never do one twice.

A lock goes with its process, however that ends.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

# Lock files in a store; two pieces of work that share one merely wait for each other.
LOCKS = 4096


@dataclass(frozen=True)
class Busy:
    """The answer of a worker that left a piece of work to the process that is at it."""


@contextlib.contextmanager
def claim(store: Path, work: str, wait: bool) -> Iterator[bool]:
    """This piece of work for this process alone: True, or False at once where another is at it and `wait` is False."""
    number = int.from_bytes(hashlib.blake2b(work.encode(), digest_size=4).digest()) % LOCKS
    folder = store / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{number:03x}.lock")
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
