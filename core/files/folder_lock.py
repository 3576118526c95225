"""Locks between processes. The operating system takes each one back when its process ends, however that ends.

A file system may have no locks (some network file systems are mounted without). Then nobody waits and nobody is
refused: files are written whole under their own names, so the worst case is work done twice.
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
# How often a process that waits tries again.
TRY_S = 0.2
# What a file system without locks answers.
WITHOUT_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
# Characters of a holder's note that a message shows.
LONGEST_NOTE = 200


@dataclass(frozen=True)
class Kind:
    """What a folder is for. name: in messages, and in the lock file. file: what every such folder holds in the end."""

    name: str
    file: str


RUN = Kind("the folder of a run", "run.json")
TRAINING = Kind("the folder of a training", "config.json")
GAIN = Kind("the folder of a gain", "gain.json")
CLIP_STORE = Kind("a clip store", "store.json")


@contextlib.contextmanager
def locked_folder(folder: Path, kind: Kind, wait: bool = False) -> Iterator[None]:
    """Make a folder, unless it exists, and lock it for this process until the block ends.

    wait: for a process that has the folder locked. Raise BenchError if the folder holds anything else than such a one
    does or cannot be made, or, without `wait`, if another process has it locked.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not _is(folder, kind)):
        raise BenchError(f"{folder} exists and is not {kind.name}. Give --out another, empty or new folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unmakeable(folder, error.strerror) from None
    with _locked(folder, kind, wait, "Wait for it, or give --out another folder."):
        yield


@contextlib.contextmanager
def locked_existing(folder: Path, kind: Kind) -> Iterator[None]:
    """Lock a folder that is finished, to add to what it holds or to read it whole, until the block ends.

    Raise BenchError if it is none of that kind, or if another process has it locked. What may not be written is not
    locked either.
    """
    if not (folder / kind.file).is_file():
        raise BenchError(f"{folder} is not {kind.name}: it has no {kind.file}.")
    if not os.access(folder, os.W_OK):
        yield
        return
    with _locked(folder, kind, False, "Wait until it is done."):
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
        note(f"{folder} is on a file system without locks: start no second process on it, nobody would notice.")
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    _write_note(file, f"{kind.name}\nprocess {os.getpid()} on {socket.gethostname()}, since {now}")
    try:
        yield
    finally:
        _write_note(file, f"{kind.name}\n")
        if lock:
            lock.release()


def check_free(folder: Path, kind: Kind) -> None:
    """Raise BenchError as `locked_folder` does, and leave everything as it is: before work that ends in there."""
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
    return BenchError(f"{folder}: cannot be made ({reason}). Give --out a folder that can.")


def _is(folder: Path, kind: Kind) -> bool:
    """Return whether a folder is of that kind: finished, or begun by a process whose lock file notes no other kind."""
    begun = (folder / LOCK).exists() and _noted(folder)[0] in ("", kind.name)
    return begun or (folder / kind.file).is_file()


@contextlib.contextmanager
def in_turn(file: Path) -> Iterator[None]:
    """Let one process at a time into the block, by a lock on `file`; others wait."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquire(file, wait=True)
    try:
        yield
    finally:
        if lock:
            lock.release()


def _acquire(file: Path, wait: bool) -> FileLock | None:
    """Return a lock on `file`, or None if its file system has no locks. Raise Timeout if it is taken and not waited."""
    lock = FileLock(file, fallback_to_soft=False)
    try:
        lock.acquire(timeout=-1 if wait else 0, poll_interval=TRY_S)
    except OSError as error:
        if error.errno in WITHOUT_LOCKS:
            return None
        raise
    return lock


def _write_note(file: Path, text: str) -> None:
    """Write who has a lock into its file, for messages only: a full disk is noticed soon enough by the work itself."""
    with contextlib.suppress(OSError):
        file.write_text(text, encoding="utf-8")


def _holder(folder: Path) -> str:
    """Return a clause that names the process that has locked a folder, if it has written its note already."""
    said = _noted(folder)[1]
    return f"Another process works on {folder}{f' ({said})' if said else ''}"


def _noted(folder: Path) -> tuple[str, str]:
    """Return what the lock file of a folder says: its kind and who has it locked, "" for what is not there."""
    text = ""
    with contextlib.suppress(OSError, ValueError):
        text = (folder / LOCK).read_text(encoding="utf-8")[:LONGEST_NOTE]
    name, _, holder = text.partition("\n")
    return name.strip(), holder.strip()
