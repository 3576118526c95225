"""Hashes of files. The keys of results include the hashes of all files that determine numbers, except clips' frames.

As in git, a file is not read again if its size, modification time and inode are those of a file that was hashed before;
hard links share all three. For a file with a single name, the change time must match, too. No program can set that
time, so weights that were replaced by others of the same name and modification time are detected. `hash_anew` always
reads the file.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megbench.core.files.memo import Memo, memo

# If a file changes twice within one tick of its file system's clock, both versions have the same modification time. A
# file that was modified less than a tick before it was hashed is therefore hashed again next time. Linux uses ticks of
# up to 10 ms.
TICK_NS = 10_000_000
# Two of these replace TICK_NS if times are stored in whole seconds; FAT stores them in steps of two seconds.
SECOND_NS = 1_000_000_000


def file_hash(path: Path | str) -> str:
    """Return the blake2b hash of a file, 32 hexadecimal digits. Raise OSError if it cannot be read.

    The file is read unless this or an earlier process knows the hash for its size, modification time and inode.
    """
    return _hash_of(os.stat(path), path, _index())


def hash_anew(path: Path) -> str:
    """Return the hash of a file as `file_hash` does, but always read the file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def hash_again(path: Path) -> str:
    """Return the hash of a file as `hash_anew` does, and store it in place of any hash known for the file."""
    facts, began = os.stat(path), time.time_ns()
    found = hash_anew(path)
    _keep(_index(), facts, found, began)
    return found


def hash_if_readable(path: Path) -> str | None:
    """Return the hash of a file as `file_hash` does, or None if it is missing or cannot be read."""
    try:
        return file_hash(path) if path.is_file() else None
    except OSError:
        return None


def states(paths: Sequence[Path]) -> list[list[str | None]]:
    """Return the name and the hash of each file as JSON values; the hash is None if the file cannot be read."""
    return [[path.name, hash_if_readable(path)] for path in paths]


def bytes_facts(data: bytes) -> dict[str, Any]:
    """Return the size and the hash of a file's bytes."""
    return {"size": len(data), "blake2b": hashlib.blake2b(data, digest_size=16).hexdigest()}


def file_facts(path: Path | str) -> dict[str, Any]:
    """Return the size and the hash of a file; read it only if its hash is unknown. Raise OSError if that fails."""
    facts = os.stat(path)
    return {"size": facts.st_size, "blake2b": _hash_of(facts, path, _index())}


def unaltered(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> bool:
    """Return whether `folder` has these files with the recorded sizes and hashes. Only changed files are read again."""
    index, inside = _index(), os.fspath(folder)
    try:
        return all(_as_known(f"{inside}/{name}", known, index) for name, known in files.items())
    except OSError:
        return False


def remember(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Store the sizes and hashes of files that this process has just written, so that they need not be read again."""
    index, now = _index(), time.time_ns()
    for name, known in files.items():
        facts = os.stat(folder / name)
        if facts.st_size == known["size"]:
            # Store the hash under both keys, since a run's hard link to such a file changes the file's key.
            _keep(index, facts, known["blake2b"], now, _key(facts), _linked(facts))
    index.save()


def keep_known() -> None:
    """Save the known hashes for later processes."""
    _index().save()


def _index() -> Memo:
    return memo("file_hashes")


def _as_known(path: str, known: Mapping[str, Any], index: Memo) -> bool:
    facts = os.stat(path)
    return facts.st_size == known["size"] and _hash_of(facts, path, index) == known["blake2b"]


def _hash_of(facts: os.stat_result, path: Path | str, index: Memo) -> str:
    known = index.get(_key(facts))
    if known is None:
        began = time.time_ns()
        known = hash_anew(Path(path))
        _keep(index, facts, known, began)
    return str(known)


def _keep(index: Memo, facts: os.stat_result, found: str, when: int, *keys: str) -> None:
    coarse = facts.st_mtime_ns % SECOND_NS == 0
    if when - facts.st_mtime_ns > (2 * SECOND_NS if coarse else TICK_NS):
        for key in keys or (_key(facts),):
            index.put(key, found)


def _key(facts: os.stat_result) -> str:
    return f"{_linked(facts)}-{facts.st_ctime_ns:x}" if facts.st_nlink == 1 else _linked(facts)


def _linked(facts: os.stat_result) -> str:
    """Return the key of a file with several names. It has no change time, because every new name changes that."""
    return f"{facts.st_dev:x}-{facts.st_ino:x}-{facts.st_size:x}-{facts.st_mtime_ns:x}"
