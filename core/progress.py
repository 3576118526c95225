"""The output of a run in progress: one style of progress bar and one style of note, both on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

from tqdm import tqdm

from megbench.core.tables.spreadsheet_text import printable

T = TypeVar("T")


def track(items: Iterable[T], title: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield items while showing a progress bar with an estimate of the time left; show no bar if there are no items.

    If stderr is not a terminal, a line is written every 15 seconds.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    if total == 0:
        return
    interval = 0.2 if sys.stderr.isatty() else 15.0
    yield from tqdm(items, desc=title, unit=unit, total=total, mininterval=interval, dynamic_ncols=True)


def note(text: str) -> None:
    """Print one line for the user, above any progress bar."""
    tqdm.write(printable(f"Note: {text}"), file=sys.stderr)


def say(text: str) -> None:
    """Print one line of a result on stdout at once, above any progress bar."""
    tqdm.write(printable(text), file=sys.stdout)
    sys.stdout.flush()


def duration(seconds: float) -> str:
    """Return a length of time in words, rounded as suits an estimate: "20 s", "5 minutes", "1.5 hours"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
