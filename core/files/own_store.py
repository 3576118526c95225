"""The store that this process works for, as methods see it: what they find in a clip is kept there for others.

Set once by the worker. Without it (in a notebook, in a test) nothing is kept.
"""

from __future__ import annotations

from pathlib import Path

_folder: Path | None = None


def work_for(store: Path | None) -> None:
    """Keep what methods find in clips in this store from now on; None to keep nothing."""
    global _folder
    _folder = store


def own_store() -> Path | None:
    """Return the folder of the store that this process works for, None where it has none."""
    return _folder
