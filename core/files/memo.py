"""What was found out once and need not be found out again: a log in the store that any process may add to.

Losing the log costs time and nothing else, so it takes no locks. A process appends whole lines, each with a checksum of
its own. A line that is cut off, altered or written into another one is skipped on reading.
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

# A log that has grown beyond this is begun anew: by then most of it is about files that are gone.
MOST_BYTES = 64_000_000


class Memo:
    """One log: JSON values by key. Values that were put are found at once; `save` makes them last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Any] = {}
        self._new: dict[str, Any] = {}
        self._read_to = 0

    def get(self, key: str) -> Any | None:
        """Return the value of a key, None if nobody put one; what other processes have saved meanwhile counts."""
        if key not in self._known:
            self._read_on()
        return self._known.get(key)

    def put(self, key: str, value: Any) -> None:
        """Set the value of a key."""
        self._known[key] = self._new[key] = value

    def save(self) -> None:
        """Append what was put since the last time. Without a store, or without room in it, nothing is kept."""
        if not self._new or not self.path.parent.is_dir():
            return
        body = json.dumps(self._new, separators=(",", ":")).encode()
        # The first line break ends what a killed process may have left half written.
        line = b"\n" + _check(body) + b" " + body + b"\n"
        with contextlib.suppress(OSError):
            anew = os.O_TRUNC if self.path.exists() and self.path.stat().st_size > MOST_BYTES else 0
            as_it_is = getattr(os, "O_BINARY", 0)  # Windows would end lines in its own way
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | as_it_is | anew, 0o644)
            try:
                os.write(file, line)
            finally:
                os.close(file)
        self._new = {}

    def _read_on(self) -> None:
        """Read what was appended since the last time, up to the last whole line."""
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
    """Return the log of this name in the store of the folder that the command was started in."""
    return _memo(os.path.abspath(from_start(STORE / name)))


@functools.cache
def _memo(path: str) -> Memo:
    return Memo(Path(path))


def _check(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=8).hexdigest().encode()
