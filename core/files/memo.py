"""Results that are remembered across processes: a log in the store, to which any process may append.

Losing the log costs only time, so no locks are used. A process appends complete lines, each with its own checksum.
Readers skip a line that is truncated, altered or interleaved with another.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from megbench.core.files.working_folder import STORE, from_start

# A log that exceeds this size is started afresh, because most of its lines then concern files that no longer exist.
MOST_BYTES = 64_000_000


class Memo:
    """One log of JSON values by key. A value is available as soon as it is put; `save` makes it persistent."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Any] = {}
        self._new: dict[str, Any] = {}
        self._read_to = 0

    def get(self, key: str) -> Any | None:
        """Return the value of a key, including one that another process has saved meanwhile, or None."""
        if key not in self._known:
            self._read_on()
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        """Set the value of a key."""
        self._known[key] = self._new[key] = value

    def save(self) -> None:
        """Append the values set since the last save. If there is no store or no space, nothing is saved."""
        if not self._new or not self.path.parent.is_dir():
            return
        body = json.dumps(self._new, separators=(",", ":")).encode()
        # The leading line break ends a line that a killed process may have left incomplete.
        line = b"\n" + _check(body) + b" " + body + b"\n"
        with contextlib.suppress(OSError):
            anew = os.O_TRUNC if self.path.exists() and self.path.stat().st_size > MOST_BYTES else 0
            as_it_is = getattr(os, "O_BINARY", 0)  # otherwise Windows would convert the line endings
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | as_it_is | anew, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        self._new = {}

    def _read_on(self) -> None:
        """Read what was appended since the last read, up to the last complete line."""
        with contextlib.suppress(OSError):
            size = os.stat(self.path).st_size
            if size == self._read_to:
                return
            with open(self.path, "rb") as file:
                file.seek(self._read_to if size > self._read_to else 0)
                start, data = file.tell(), file.read()
            whole = data.rfind(b"\n") + 1
            for line in data[:whole].split(b"\n"):
                check, _, body = line.partition(b" ")
                if body and check == _check(body):
                    self._known |= json.loads(body)
            self._read_to = start + whole


def memo(name: str) -> Memo:
    """Return the log with this name in the store of the folder where the command was started."""
    return _memo(os.path.abspath(from_start(STORE / name)))


@functools.cache
def _memo(path: str) -> Memo:
    return Memo(Path(path))


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()
