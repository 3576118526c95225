"""The number of processors that this process may use."""

from __future__ import annotations

import os


def usable() -> int:
    """Return the number of processors that this process may run on, or that of all processors if the system does not
    report it.

    macOS and Windows have no `os.sched_getaffinity`.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
