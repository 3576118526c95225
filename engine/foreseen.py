"""Problems that can be foreseen before a run's first cell, reported by a dry run and before anything is animated."""

from __future__ import annotations

from collections.abc import Sequence

from megbench.core.errors import BenchError, few
from megbench.core.statistics import ALPHA, smallest_p
from megbench.engine.runner import Job, refusal


def foreseen(jobs: Sequence[Job], asked: Sequence[str]) -> list[str]:
    """Return a line for each row with cells that it cannot animate, and a line if no test can tell the methods apart.

    asked: the rows that the user named. Raise BenchError if one of these rows can animate none of its cells.
    """
    lines = []
    for label in dict.fromkeys(job.row.label for job in jobs):
        own = [job for job in jobs if job.row.label == label and not job.cell.problem]
        refused = [(job, record) for job in own if (record := refusal(job))]
        if not refused:
            continue
        first = refused[0][1].reason
        if len(refused) == len(own) and label in asked:
            raise BenchError(
                f"{label}: none of its cells ({len(own)}) can be animated. Reason for the first: {first.rstrip('.')}."
            )
        verb = "are missing" if all(record.status == "missing" for _, record in refused) else "cannot be animated"
        named = few([job.cell.name for job, _ in refused], 3)
        lines.append(f"{label}: {len(refused)} of {len(own)} cells {verb} ({named}): {first.rstrip('.')}")
    return lines + _idle_tests(jobs)


def check_files(jobs: Sequence[Job]) -> None:
    """Raise BenchError if the files of a row with pending jobs cannot be loaded, so that no worker need try."""
    for row in {job.row.label: job.row for job in jobs}.values():
        method = row.maker(row.variant, row.options)
        try:
            getattr(method, "check_files", lambda: None)()
        except BenchError as error:
            raise BenchError(f"{row.label}: {error}") from None


def _idle_tests(jobs: Sequence[Job]) -> list[str]:
    """Return why no test could tell the methods apart, whatever their scores.

    Return [] if a test could, or if there is only one method. Holm's correction multiplies the smallest p by the number
    of pairs.
    """
    methods = {job.row.label for job in jobs if not job.row.is_control}
    drivers = {job.cell.driver.name for job in jobs if not job.cell.problem}
    pairs = len(methods) * (len(methods) - 1) // 2
    least = min(pairs * (smallest_p(len(drivers)) or 1.0), 1.0)
    if not pairs or least < ALPHA:
        return []
    among = f"{pairs} pairs of methods" if pairs > 1 else "one pair of methods"
    count = f"{len(drivers)} drivers" if len(drivers) > 1 else "one driver"
    return [f"no test can separate the methods: with {count} and {among}, p cannot fall below {least:.3f}"]
