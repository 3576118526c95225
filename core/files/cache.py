"""What is kept between runs: finished cells, prepared clips, features and partial scores, each under its content key.

Everything in the store may be deleted at any time; it is made again. Runs hold hard links to what they use, or copies
where the file system knows no links.
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

# Only what is made again by itself: the user's own weights and training folders lie beside these and are never deleted.
KINDS = ("cells", "clips", "features", "media", "partials")
CAP_BYTES = 20 * 1024**3
# Entries used within a day are never trimmed: another run may be reading them.
TRIM_AGE_S = 24 * 3600


def digest(value: Any) -> str:
    """Content key of JSON values: blake2b of the canonical text, 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def write_text(path: Path, text: str, lasting: bool = True) -> None:
    """Write text as UTF-8, the whole file or none; `lasting` as for `whole_file`."""
    with whole_file(path, lasting) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    """As `write_text`; absent values are null, NaN is a ValueError."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False))


def read_json(path: Path) -> Any | None:
    """The values in a JSON file, None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_kept(path: Path, facts: dict[str, Any]) -> None:
    """As `write_json`, with the digest of the facts among them, so that `read_kept` finds any change."""
    write_text(path, json.dumps({**facts, "digest": digest(facts)}, allow_nan=False), lasting=False)


def read_kept(path: Path) -> dict[str, Any] | None:
    """What `write_kept` wrote, None if it is missing or any of it is another."""
    facts = read_json(path)
    if not isinstance(facts, dict):
        return None
    said = facts.pop("digest", None)
    return facts if said == digest(facts) else None


@dataclass(frozen=True)
class CellRecord:
    """What is known of one finished or failed cell: `cell.json`.

    key: hash of all that decides the frames. status: "ok", "failed" or, if its input was not supplied, "missing", with
    the reason. seconds: time to animate.
    content: hash of the frames. files: name -> size and blake2b. retry: the failure may not come again (a crash).
    traceback: of an unexpected error, for whoever mends the method. peak_mb: the most main memory that the worker held
    while it animated, in megabytes; None where that was not measured.
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
    """Whether an npz file is there and holds what was written into it, by its own checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return False


@contextlib.contextmanager
def whole_folder(target: Path, whole: Callable[[Path], Any] = lambda folder: None) -> Iterator[Path]:
    """Yield a temporary folder that becomes `target` if the block ends well, and is removed if it does not.

    It replaces what is there, unless `whole` finds that to be whole: another run that shares the store has made the
    same meanwhile and may be reading it.
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
            # Another process has put the same content there; its copy is as good.
            if not target.exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder so that it is either whole or gone: renamed first, then deleted."""
    if not folder.exists():
        return
    doomed = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def save_cell(folder: Path, key: str, frames: Frames, seconds: float, peak_mb: float | None = None) -> CellRecord:
    """Write a finished cell as `frames/*.png` and, last, `cell.json` with sizes and hashes.

    If another run has made the same cell meanwhile, that one stays. Return the record of the cell that is kept.
    """
    with whole_folder(folder, lambda there: read_cell(there, key)) as temporary:
        files = {f"frames/{name}": facts for name, facts in write_frames(temporary / "frames", frames).items()}
        record = CellRecord(key, "ok", "", len(frames), round(seconds, 4), content_hash(frames), files, peak_mb=peak_mb)
        write_kept(temporary / "cell.json", vars(record))
        remember(temporary, files)
    return read_cell(folder, key) or record


def save_failure(folder: Path, record: CellRecord) -> CellRecord:
    """Write a failed or missing cell: only its `cell.json`, with the reason."""
    with whole_folder(folder) as temporary:
        write_kept(temporary / "cell.json", vars(record))
    return record


def read_cell(folder: Path, key: str) -> CellRecord | None:
    """The record of a cell with this key, None where there is none, it is another's, or any file was altered."""
    try:
        record = CellRecord(**(read_kept(folder / "cell.json") or {}))
    except TypeError:
        return None
    if record.key != key or (record.status == "ok" and len(record.files) != record.n_frames):
        return None
    return record if unaltered(folder, record.files) else None


def link_folder(source: Path, target: Path) -> None:
    """Make `target` the same as `source` by hard links, or by copies where links fail."""
    with whole_folder(target) as temporary:
        for where, folders, files in os.walk(source):
            inside = temporary / os.path.relpath(where, source)
            for folder in folders:
                (inside / folder).mkdir()
            for file in files:
                link_file(Path(where, file), inside / file)


def link_file(source: Path, target: Path) -> None:
    """One hard link, or a copy where links fail (another disk, a file system without them)."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def touch(entry: Path) -> None:
    """Mark a store entry as used now, for `trim`."""
    with contextlib.suppress(OSError):
        os.utime(entry)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(frozen=True)
class CacheEntry:
    """One entry of the store: its bytes, and those that deleting it frees (not held by a run's hard link too)."""

    path: Path
    size: int
    freed: int
    used: float


def entries(root: Path) -> list[CacheEntry]:
    """All entries of the store at `root`, least recently used first; [] where there is no store."""
    found = []
    for kind in KINDS:
        for path in sorted((root / kind).glob("*")):
            facts = [file.stat() for file in (_files(path) if path.is_dir() else [path])]
            freed = sum(fact.st_size for fact in facts if fact.st_nlink == 1)
            found.append(CacheEntry(path, sum(fact.st_size for fact in facts), freed, path.stat().st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def remove(entry: CacheEntry) -> None:
    """Delete one entry. BenchError where the system refuses."""
    try:
        if entry.path.is_dir():
            discard(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
    except OSError as error:
        raise BenchError(f"{entry.path}: cannot be deleted ({error.strerror}). Check its owner and rights.") from None


def trim(root: Path, cap_bytes: int = CAP_BYTES) -> int:
    """Delete the entries longest neither written nor touched, a day at least, until below the cap; bytes deleted."""
    everything = entries(root)
    excess = sum(entry.size for entry in everything) - cap_bytes
    deleted = 0
    for entry in everything:
        if deleted >= excess or entry.used > time.time() - TRIM_AGE_S:
            break
        remove(entry)
        deleted += entry.size
    return deleted
