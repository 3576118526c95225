"""The folder in which the user started the command. Relative paths refer to it, even in workers started elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

STARTED_IN = "MEGBENCH_STARTED_IN"
# The user's own weights folder, searched before the one in the store.
WEIGHTS = "MEGBENCH_WEIGHTS"
# The suite's store, in the folder in which the command is started.
STORE = Path(".megbench")


def from_start(path: Path) -> Path:
    """Return a relative path resolved against the folder in which the command was started.

    An absolute path is returned unchanged.
    """
    return Path(os.environ.get(STARTED_IN, "")) / path


def in_store(name: str) -> Path:
    """Return the path of a folder in the store of the folder where the command was started."""
    return from_start(STORE / name)


def weights_folders() -> list[Path]:
    """Return the user's weights folders: the one named by MEGBENCH_WEIGHTS, if any, then the one in the store."""
    own = os.environ.get(WEIGHTS)
    return [*([from_start(Path(own))] if own else []), in_store("weights")]


def worker_environment() -> dict[str, str]:
    """Return the environment variables that let a worker on another machine find the same folders."""
    weights = os.environ.get(WEIGHTS)
    here = from_start(Path()).resolve()
    return {STARTED_IN: str(here), WEIGHTS: str(here / weights) if weights else ""}
