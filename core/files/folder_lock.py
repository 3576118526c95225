"""Locks between processes. The operating system releases each lock when its process ends, however it ends.

Some network file systems are mounted without locks. There, no process waits and none is turned away. Since every file
is written completely before it gets its name, the worst outcome is that some work is done twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from megbench.core.errors import BenchError
from megbench.core.progress import note

LOCK = ".lock"
# How often a waiting process tries again.
TRY_S = 0.2
# The errors that a file system without locks returns.
WITHOUT_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
# The maximum number of characters of a lock holder's note that a message shows.
LONGEST_NOTE = 200


@dataclass(frozen=True)
class Kind:
    """A kind of folder.

    name: what it is called in messages and in the lock file. file: a file that every finished folder of this kind
    contains.
    """

    name: str
    file: str


RUN = Kind("the folder of a run", "run.json")
TRAINING = Kind("the folder of a training run", "config.json")
GAIN = Kind("the folder of a gain measurement", "gain.json")
CLIP_STORE = Kind("a clip store", "store.json")


@contextlib.contextmanager
def locked_folder(folder: Path, kind: Kind, wait: bool = False) -> Iterator[None]:
    """Make a folder, unless it exists, and lock it for this process until the block ends.

    wait: whether to wait if another process has locked the folder. Raise BenchError if the folder has contents but is
    not of this kind, if it cannot be created, or, without `wait`, if another process has locked it.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is(folder, kind)):
        raise BenchError(f"{folder} exists and is not {kind.name}. Pass a new or empty folder to --out.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unmakeable(folder, error.strerror) from None
    with _locked(folder, kind, wait, "Wait for it to finish, or pass another folder to --out."):
        yield


@contextlib.contextmanager
def locked_existing(folder: Path, kind: Kind) -> Iterator[None]:
    """Lock a finished folder until the block ends, to add to it or to read a consistent state of it.

    Raise BenchError if it is not of this kind, or if another process has locked it. A folder without write permission
    is not locked.
    """
    if not (folder / kind.file).is_file():
        raise BenchError(f"{folder} is not {kind.name}: it has no {kind.file}. Pass a finished one.")
    if not os.access(folder, os.W_OK):
        yield
        return
    with _locked(folder, kind, False, "Wait for it to finish."):
        yield


@contextlib.contextmanager
def _locked(folder: Path, kind: Kind, wait: bool, remedy: str) -> Iterator[None]:
    file = folder / LOCK
    try:
        lock = _acquire(file, wait=False)
    except Timeout:
        if not wait:
            raise BenchError(f"{_holder(folder)}. {remedy}") from None
        note(f"{_holder(folder)}; waiting for it.")
        lock = _acquire(file, wait=True)
    if lock is None:
        note(
            f"{folder} is on a file system without locks. Do not start a second process on this folder: nothing would"
            " keep it out."
        )
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    _write_note(file, f"{kind.name}\nprocess {os.getpid()} on {socket.gethostname()}, since {now}")
    try:
        yield
    finally:
        _write_note(file, f"{kind.name}\n")
        if lock:
            lock.release()


def check_free(folder: Path, kind: Kind) -> None:
    """Raise BenchError if `locked_folder` would, but create no folder; for use before long computations."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists():
        with locked_folder(folder, kind):
            return
    nearest = next(parent for parent in folder.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        reason = errno.EACCES if nearest.is_dir() else errno.ENOTDIR
        raise _unmakeable(folder, f"{nearest}: {os.strerror(reason)}")


def _unmakeable(folder: Path, reason: str | None) -> BenchError:
    return BenchError(f"{folder} cannot be created ({reason}). Pass another folder to --out.")


def _is(folder: Path, kind: Kind) -> bool:
    """Return whether a folder is of this kind: it is finished, or it has a lock file that states no other kind."""
    begun = (folder / LOCK).exists() and _noted(folder)[0] in ("", kind.name)
    return begun or (folder / kind.file).is_file()


def is_unfinished(folder: Path, kind: Kind) -> bool:
    """Return whether a folder of this kind was begun but is not finished."""
    return (folder / LOCK).exists() and _noted(folder)[0] == kind.name and not (folder / kind.file).is_file()


@contextlib.contextmanager
def in_turn(file: Path) -> Iterator[None]:
    """Let only one process at a time enter the block, using a lock on `file`; the others wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquire(file, wait=True)
    try:
        yield
    finally:
        if lock:
            lock.release()


def _acquire(file: Path, wait: bool) -> FileLock | None:
    """Return a lock on `file`, or None if its file system has no locks.

    Raise Timeout if the lock is taken and `wait` is False.
    """
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=TRY_S)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return None
        raise
    return lock


def _write_note(file: Path, text: str) -> None:
    """Write the holder of a lock into the lock file, for messages only.

    Errors are ignored: if the disk is full, the work itself will report that.
    """
    with contextlib.suppress(OSError):
        file.write_text(text, encoding="utf-8")


def _holder(folder: Path) -> str:
    """Return a clause about the process that has locked a folder, naming the process if the lock file does."""
    said = _noted(folder)[1]
    return f"Another process is working on {folder}{f' ({said})' if said else ''}"


def _noted(folder: Path) -> tuple[str, str]:
    """Return a folder's kind and the holder of its lock as stated in its lock file; "" for what is not stated."""
    text = ""
    with contextlib.suppress(OSError, ValueError):
        text = (folder / LOCK).read_text(encoding="utf-8")[:LONGEST_NOTE]
    name, _, holder = text.partition("\n")
    return name.strip(), holder.strip()
