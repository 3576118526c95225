"""Check names that become file names. Each name is checked once, where it is first read."""

import re

from megbench.core.errors import BenchError

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+-]{0,119}")


# Names that Windows reserves for devices, with any extension.
DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(?:\..*)?", re.IGNORECASE)


def check_name(kind: str, name: str) -> str:
    """Return `name` unchanged if it can be a file name on every system. Raise BenchError otherwise.

    A name may have at most 120 letters, digits and ``. _ @ = + -``, and must start with a letter or digit. It must not
    contain ``..`` or ``__`` (which separates driver and template in a cell's folder name), end in a dot, or be the name
    of a Windows device.
    """
    if not SAFE.fullmatch(name) or ".." in name or "__" in name or name.endswith(".") or DEVICE.fullmatch(name):
        shown = repr(name if len(name) <= 60 else name[:60] + "...")
        raise BenchError(
            f"The {kind} name {shown} cannot be used, because it becomes a folder name. Use only letters a to z, digits"
            " and . _ - (at most 120, beginning with a letter or digit, without '..' or '__' or a dot at the end, and"
            " not CON, NUL or another Windows device name)."
        )
    return name
