"""The number of processors that this process may use."""

from __future__ import annotations

import os


def usable() -> int:
    """Return how many processors this process may run on.

    Systems without `os.sched_getaffinity`, such as macOS and Windows, do not report that; there, return how many
    processors the machine has.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
