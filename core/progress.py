"""The output of a run in progress: one style of progress bar and one style of note, both on stderr.

If stderr is not a terminal, for example in a log file, progress is written as whole lines instead of a bar.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, TypeVar

from tqdm import tqdm

from megbench.core.errors import plural
from megbench.core.tables.spreadsheet_text import printable

T = TypeVar("T")
# Seconds between two lines of progress in a log.
LINE_S = 30.0


class Lines:
    """Progress as lines in a log: one every LINE_S seconds and one at the end. Used like one of tqdm's bars."""

    def __init__(self, title: str, unit: str, total: int | None, done: int = 0) -> None:
        self.title, self.unit, self.total = title, unit, total
        self.first = self.done = done
        self.values: Mapping[str, Any] = {}
        self.began = self.written = time.monotonic()

    def update(self) -> None:
        """Count one more item; write a line if one is due."""
        self.done += 1
        if time.monotonic() - self.written >= LINE_S:
            self._write()

    def set_postfix(self, values: Mapping[str, Any]) -> None:
        """Set the values at the end of the next lines."""
        self.values = values

    def close(self) -> None:
        """Write the last line."""
        self._write(ended=True)

    def _write(self, ended: bool = False) -> None:
        self.written = time.monotonic()
        seconds, made = self.written - self.began, self.done - self.first
        last = self.done if self.total is None else self.total
        counted = plural(last, self.unit) if self.unit else f"{last:,}"
        text = f"{self.title}: {counted if self.total is None else f'{self.done:,} of {counted}'}, {duration(seconds)}"
        if made and last > self.done and not ended:
            text += f", about {duration(seconds / made * (last - self.done))} left"
        text += "".join(f", {name} {value:.3g}" for name, value in self.values.items())
        print(printable(text), file=sys.stderr, flush=True)


def progress(title: str, unit: str, total: int | None, done: int = 0, silent: bool = False) -> tqdm[Any] | Lines:
    """Return a progress bar or, if stderr is not a terminal, its replacement in a log.

    total: the number of items, or None if it is unknown. done: the number of items that an earlier call finished.
    silent: whether to show nothing.
    """
    if silent or sys.stderr.isatty():
        return tqdm(
            desc=title, unit=unit, total=total, initial=done, disable=silent, mininterval=0.2, dynamic_ncols=True
        )
    return Lines(title, unit, total, done)


def track(items: Iterable[T], title: str, unit: str, total: int | None = None) -> Iterator[T]:
    """Yield items while showing progress with an estimate of the time left; show nothing if `total` is 0."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if total == 0:
        return
    bar = progress(title, unit, total)
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.close()


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
