"""Names that become file names: checked once, where they enter."""

import re

from megbench.core.errors import BenchError

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+-]{0,119}")


# Names that Windows keeps for devices, with whatever extension.
DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE)


def check_name(kind: str, name: str) -> str:
    """Return `name` unchanged if it can be a file name on every system.

    Letters, digits and ``. _ @ = + -``, at most 120, starting with a letter or digit, no ``..``, no ``__``
    (which separates driver and template in a cell's folder name), no dot at the end and none of Windows' devices.
    Raises BenchError otherwise.
    """
    if not SAFE.fullmatch(name) or ".." in name or "__" in name or name.endswith(".") or DEVICE.fullmatch(name):
        shown = repr(name if len(name) <= 60 else name[:60] + "...")
        raise BenchError(
            f"The {kind} name {shown} cannot be used: it becomes a folder name. Rename it to letters a to z, digits and"
            " . _ - only (at most 120, beginning with a letter or digit, without '..' and '__', no dot at its end, not"
            " CON, NUL or another of Windows' devices)."
        )
    return name
