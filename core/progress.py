"""What a run tells while it works: one kind of progress bar and one kind of note, both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

from core.spreadsheet import printable

T = TypeVar("T")


def track(items: Iterable[T], title: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Pass items on behind a progress bar with an estimate; none where there is nothing to do.

    In a log file it says something every 15 seconds.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if total == 0:
        return
    interval = 0.2 if sys.stderr.isatty() else 15.0
    yield from tqdm(items, desc=title, unit=unit, total=total, mininterval=interval, dynamic_ncols=True)


def note(text: str) -> None:
    """One line for the user, above any progress bar."""
    tqdm.write(printable(f"Note: {text}"), file=sys.stderr)


def about(seconds: float) -> str:
    """Return a duration in words, as exactly as an estimate deserves: "about 20 s", "about 5 min", "about 3 h"."""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds > 1.5 * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {max(seconds, 1):.0f} s"
