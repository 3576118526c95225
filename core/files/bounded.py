"""Read external files in full; refuse files that are larger than a file of their kind could plausibly be."""

from pathlib import Path

from megbench.core.errors import BenchError


def read_bounded(path: Path, largest: int, remedy: str) -> bytes:
    """Return the bytes of a file. Raise BenchError, with `remedy`, if it is unreadable or exceeds `largest` bytes.

    Endless devices and pipes are read only up to that limit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise BenchError(f"{path} cannot be read ({reason}). {remedy}") from None
    if len(data) > largest:
        raise BenchError(f"{path} is larger than {largest} bytes. {remedy}")
    return data
