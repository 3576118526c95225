"""Names that become file names: checked once, where they enter."""

import re

from core.errors import BenchError

SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@=+-]{0,119}")


def check_name(kind: str, name: str) -> str:
    """Return `name` unchanged if it can be a file name on every system.

    Letters, digits and ``. _ @ = + -``, at most 120, starting with a letter or digit, no ``..`` and no ``__``
    (which separates driver and template in a cell's folder name). Raises BenchError otherwise.
    """
    if not SAFE.fullmatch(name) or ".." in name or "__" in name:
        shown = ascii(name if len(name) <= 60 else name[:60] + "...")
        raise BenchError(
            f"The {kind} name {shown} cannot be used: it becomes a folder name. Rename it to letters, digits and"
            " . _ - only (at most 120, beginning with a letter or digit, without '..' and '__')."
        )
    return name
