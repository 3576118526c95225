"""The speeds observed with a store: seconds per frame by kind of work, which are kept for estimates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from megbench.core.files.cache import read_json, write_json

FILE = "speeds.json"
# Fewer frames say little, because starting the processes takes longer than processing the frames.
MANY_FRAMES = 100


def known_speeds(store: Path) -> dict[str, float]:
    """Return the seconds per frame by kind of work."""
    found = read_json(store / FILE)
    return found if isinstance(found, dict) else {}


def keep_speeds(store: Path, speeds: Mapping[str, float]) -> None:
    """Add seconds per frame by kind of work, replacing existing values of the same kind."""
    if speeds:
        write_json(store / FILE, {**known_speeds(store), **speeds})


def measuring(metrics: list[str]) -> str:
    """Return the name for measuring with these metrics as a kind of work; its time depends on the metrics."""
    return f"measuring {' '.join(sorted(metrics))}"
