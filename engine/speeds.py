"""How long work took with a store: processor seconds a frame by what was done, kept for estimates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from megbench.core.files.cache import read_json, write_json

FILE = "speeds.json"
# Fewer frames say little: starting processes takes longer than they do.
MANY_FRAMES = 100


def known_speeds(store: Path) -> dict[str, float]:
    """Return the seconds a frame by what was done."""
    found = read_json(store / FILE)
    return found if isinstance(found, dict) else {}


def keep_speeds(store: Path, speeds: Mapping[str, float]) -> None:
    """Add seconds a frame, or replace those of the same names."""
    if speeds:
        write_json(store / FILE, {**known_speeds(store), **speeds})


def measuring(metrics: list[str]) -> str:
    """Return what measuring with these metrics is called; it takes as long as they do."""
    return f"measuring {' '.join(sorted(metrics))}"
