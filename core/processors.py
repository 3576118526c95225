"""The number of processors that this process may use."""

from __future__ import annotations

import os


def usable() -> int:
    """Return how many processors this process may run on, or how many there are if the system does not report that.

    macOS and Windows have no `os.sched_getaffinity`.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
