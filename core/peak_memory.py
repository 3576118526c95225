"""The most main memory that this process held while it did something, where the system tells it."""

from __future__ import annotations

import re
from pathlib import Path

# Written to CLEAR, this makes Linux forget the peak (proc(5), /proc/PID/clear_refs).
FORGET_PEAK = "5"
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


def forget_peak() -> bool:
    """Forget the peak so far; return whether the system could."""
    try:
        CLEAR.write_text(FORGET_PEAK)
    except OSError:
        return False
    return True


def peak_mb() -> float | None:
    """Return the peak since it was forgotten, in megabytes of 10^6 bytes; None where the system does not tell it."""
    try:
        found = PEAK.search(STATUS.read_text())
    except OSError:
        return None
    return round(int(found[1]) * 1024 / 1e6, 1) if found else None
