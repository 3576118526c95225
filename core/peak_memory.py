"""The peak main memory used by this process during an operation, where the system reports it."""

from __future__ import annotations

import re
from pathlib import Path

# Writing this to CLEAR resets the peak on Linux (proc(5), /proc/PID/clear_refs).
FORGET_PEAK = "5"
CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


def forget_peak() -> bool:
    """Reset the peak and return whether the system allowed it."""
    try:
        CLEAR.write_text(FORGET_PEAK)
    except OSError:
        return False
    return True


def peak_mb() -> float | None:
    """Return the peak since `forget_peak`, in megabytes of 10^6 bytes, or None where the system does not report it."""
    try:
        found = PEAK.search(STATUS.read_text())
    except OSError:
        return None
    return round(int(found[1]) * 1024 / 1e6, 1) if found else None
