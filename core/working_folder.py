"""The folder that the user started the command in. Relative paths refer to it, also in workers started elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

STARTED_IN = "MEGBENCH_STARTED_IN"
# The user's folder of weights, in addition to the suite's own.
WEIGHTS = "MEGBENCH_WEIGHTS"


def from_start(path: Path) -> Path:
    """Return a relative path as seen from the folder that the command was started in; absolute paths are unchanged."""
    return Path(os.environ.get(STARTED_IN, "")) / path


def worker_environment() -> dict[str, str]:
    """Return the environment variables with which a worker on another machine finds the same folders."""
    weights = os.environ.get(WEIGHTS)
    here = from_start(Path()).resolve()
    return {STARTED_IN: str(here), **({WEIGHTS: str(here / weights)} if weights else {})}
