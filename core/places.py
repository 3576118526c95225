"""Relative folders, meant from where the command was given: workers on other machines are started somewhere else."""

from __future__ import annotations

import os
from pathlib import Path

STARTED_IN = "MEGBENCH_STARTED_IN"
# The user's folder of weights, beside the suite's own.
WEIGHTS = "MEGBENCH_WEIGHTS"


def started(path: Path) -> Path:
    """Return `path` as it is meant in the process that was told to work; absolute paths stay as they are."""
    return Path(os.environ.get(STARTED_IN, "")) / path


def told() -> dict[str, str]:
    """Return the environment variables that a worker elsewhere needs to find the same folders."""
    weights = os.environ.get(WEIGHTS)
    here = started(Path()).resolve()
    return {STARTED_IN: str(here), **({WEIGHTS: str(here / weights)} if weights else {})}
