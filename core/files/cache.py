"""The cache between runs: finished cells, prepared clips, features and partial scores, each under its content key.

Everything in the store may be deleted at any time; it is recreated when needed. Runs contain hard links to the entries
they use, or copies if the file system has no hard links.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from megbench.core.errors import BenchError
from megbench.core.files.hashes import remember, unaltered
from megbench.core.files.whole_files import whole_file
from megbench.core.frames import Frames, content_hash, write_frames

# Only what can be recreated: the user's own weights and training folders are stored beside these and never deleted.
KINDS = ("cells", "clips", "features", "media", "partials")
CAP_BYTES = 20 * 1024**3
# Entries used within a day are never trimmed: another run may be reading them.
TRIM_AGE_S = 24 * 3600


def digest(value: Any) -> str:
    """Return the content key of JSON values: blake2b of the canonical text, 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write text as UTF-8; the file is written completely or not at all. `lasting` is passed to `whole_file`."""
    with whole_file(path, lasting) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_text` does; absent values are null. Raise ValueError for NaN."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False))


def read_json(path: Path) -> Any | None:
    """Return the values in a JSON file, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_kept(path: Path, facts: dict[str, Any]) -> None:
    """Write facts as JSON together with their digest, so that `read_kept` detects any change."""
    write_text(path, json.dumps({**facts, "digest": digest(facts)}, allow_nan=False), lasting=False)


def read_kept(path: Path) -> dict[str, Any] | None:
    """Return the facts that `write_kept` wrote, or None if the file is missing or does not match its digest."""
    facts = read_json(path)
    if not isinstance(facts, dict):
        return None
    said = facts.pop("digest", None)
    return facts if said == digest(facts) else None


@dataclass(frozen=True)
class CellRecord:
    """The facts about one finished or failed cell: `cell.json`.

    key: hash of everything that determines the frames. status: "ok", "failed" or, if its input was not supplied,
    "missing", with the reason. seconds: time taken to animate. content: hash of the frames. files: name to size and
    blake2b. retry: whether another attempt may succeed (as after a crash). traceback: the traceback of an unexpected
    error, for debugging the method. peak_mb: the worker's peak main memory during animation, in megabytes; None if it
    was not measured.
    """

    key: str
    status: str
    reason: str = ""
    n_frames: int = 0
    seconds: float = 0.0
    content: str = ""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    retry: bool = False
    traceback: str = ""
    peak_mb: float | None = None


def whole_archive(path: Path) -> bool:
    """Return whether an npz file exists and is intact according to its own checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False


@contextlib.contextmanager
def whole_folder(target: Path, whole: Callable[[Path], Any] = lambda folder: None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` if the block succeeds, and is removed otherwise.

    It replaces an existing `target`, unless `whole` finds that one complete: another run that shares the store has then
    made it in the meantime and may be reading it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if target.exists() and not whole(target):
            discard(target)
        try:
            temporary.rename(target)
        except OSError:
            # Another process has put the same content there; its copy is used instead.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder by renaming it and then deleting it, so that it is never partly deleted under its own name."""
    if not folder.exists():
        return
    doomed = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def save_cell(folder: Path, key: str, frames: Frames, seconds: float, peak_mb: float | None = None) -> CellRecord:
    """Write a finished cell as `frames/*.png` and, last, `cell.json` with sizes and hashes.

    If another run has meanwhile made the same cell, that cell is kept. Return the record of the cell that is kept.
    """
    with whole_folder(folder, lambda there: read_cell(there, key)) as temporary:
        files = {f"frames/{name}": facts for name, facts in write_frames(temporary / "frames", frames).items()}
        record = CellRecord(key, "ok", "", len(frames), round(seconds, 4), content_hash(frames), files, peak_mb=peak_mb)
        write_kept(temporary / "cell.json", vars(record))
        remember(temporary, files)
    return read_cell(folder, key) or record


def save_failure(folder: Path, record: CellRecord) -> CellRecord:
    """Write the folder of a failed or missing cell, which has only `cell.json` with the reason; return the record."""
    with whole_folder(folder) as temporary:
        write_kept(temporary / "cell.json", vars(record))
    return record


def read_cell(folder: Path, key: str) -> CellRecord | None:
    """Return the record of the cell in `folder`, or None if it is missing or altered, or has a key other than `key`."""
    try:
        record = CellRecord(**(read_kept(folder / "cell.json") or {}))
    except TypeError:
        return None
    if record.key != key or (record.status == "ok" and len(record.files) != record.n_frames):
        return None
    return record if unaltered(folder, record.files) else None


def link_folder(source: Path, target: Path) -> None:
    """Make `target` a copy of `source` using hard links, or by copying files if links fail."""
    with whole_folder(target) as temporary:
        for where, folders, files in os.walk(source):
            inside = temporary / os.path.relpath(where, source)
            for folder in folders:
                (inside / folder).mkdir()
            for file in files:
                link_file(Path(where, file), inside / file)


def link_file(source: Path, target: Path) -> None:
    """Make a hard link to a file, or a copy if links fail (another disk, a file system without links)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def touch(entry: Path) -> None:
    """Mark a store entry as just used, so that `trim` keeps it longer."""
    with contextlib.suppress(OSError):
        os.utime(entry)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the store.

    size: in bytes. freed: how many of these bytes its deletion would free, which are those that no run links to. used:
    the time at which the entry was last used.
    """

    path: Path
    size: int
    freed: int
    used: float


def entries(root: Path) -> list[CacheEntry]:
    """Return all entries of the store at `root`, the least recently used first; [] if there is no store."""
    found = []
    for kind in KINDS:
        for path in sorted((root / kind).glob("*")):
            facts = [file.stat() for file in (_files(path) if path.is_dir() else [path])]
            freed = sum(fact.st_size for fact in facts if fact.st_nlink == 1)
            found.append(CacheEntry(path, sum(fact.st_size for fact in facts), freed, path.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def remove(entry: CacheEntry) -> None:
    """Delete one entry. Raise BenchError if the system refuses."""
    try:
        if entry.path.is_dir():
            discard(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise BenchError(
            f"{entry.path} cannot be deleted ({error.strerror}). Check its owner and permissions."
        ) from None


def trim(root: Path, cap_bytes: int = CAP_BYTES) -> int:
    """Delete the least recently used entries until the store is below the cap; return the number of bytes deleted.

    Entries used within the last day are kept.
    """
    everything = entries(root)
    excess = sum(entry.size for entry in everything) - cap_bytes
    deleted = 0
    for entry in everything:
        if deleted >= excess or entry.used > time.time() - TRIM_AGE_S:
            break
        remove(entry)
        deleted += entry.size
    return deleted
