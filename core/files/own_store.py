"""The store that this process works for: what methods find in a clip is kept there for other processes.

The worker sets it once. If it is not set (in a notebook, in a test), nothing is kept.
"""

from __future__ import annotations

from pathlib import Path

_folder: Path | None = None


def work_for(store: Path | None) -> None:
    """Keep what methods find in clips in this store from now on; None keeps nothing."""
    global _folder
    _folder = store


def own_store() -> Path | None:
    """Return the folder of the store that this process works for, or None if it has none."""
    return _folder
