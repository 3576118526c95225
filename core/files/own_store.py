"""The store of this process, in which results that methods compute from clips are kept for other processes.

A worker sets its store once. Where none is set (in a notebook, in a test), nothing is kept.
"""

from __future__ import annotations

from pathlib import Path

_folder: Path | None = None


def work_for(store: Path | None) -> None:
    """Set the store in which results that methods compute from clips are kept; if it is None, nothing is kept."""
    global _folder
    _folder = store


def own_store() -> Path | None:
    """Return the folder of this process's store, or None if it has none."""
    return _folder
