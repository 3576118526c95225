"""The folder that the user started the command in. Relative paths refer to it, also in workers started elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

STARTED_IN = "MEGBENCH_STARTED_IN"
# The user's folder of weights, instead of the store's own.
WEIGHTS = "MEGBENCH_WEIGHTS"
# What the suite keeps for the user, in the folder that the command is started in.
STORE = Path(".megbench")


def from_start(path: Path) -> Path:
    """Return a relative path as seen from the folder that the command was started in; absolute paths are unchanged."""
    return Path(os.environ.get(STARTED_IN, "")) / path


def in_store(name: str) -> Path:
    """Return the path of a folder in the store of the folder that the command was started in."""
    return from_start(STORE / name)


def weights_folders() -> list[Path]:
    """Return the folders where the user's weights are: the one that MEGBENCH_WEIGHTS names, if any; the store's."""
    own = os.environ.get(WEIGHTS)
    return [*([from_start(Path(own))] if own else []), in_store("weights")]


def worker_environment() -> dict[str, str]:
    """Return the environment variables with which a worker on another machine finds the same folders."""
    weights = os.environ.get(WEIGHTS)
    here = from_start(Path()).resolve()
    return {STARTED_IN: str(here), WEIGHTS: str(here / weights) if weights else ""}
