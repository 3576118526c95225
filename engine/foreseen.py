"""Problems that can be foreseen: a dry run reports them, and every other run does so before it animates anything."""

from __future__ import annotations

from collections.abc import Sequence

from megbench.core.errors import BenchError, few, plural
from megbench.core.statistics import ALL_FLIPS_UP_TO, ALPHA, smallest_p
from megbench.engine.runner import Job, refusal


def foreseen(jobs: Sequence[Job], asked: Sequence[str]) -> list[str]:
    """Return a line for each row that cannot animate some cells, and a line if no test can tell the methods apart.

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
                f"{label}: 0 of {plural(len(own), 'cell')} can be done. Reason for the first: {first.rstrip('.')}."
            )
        verb = "are missing" if all(record.status == "missing" for _, record in refused) else "cannot be animated"
        named = few([job.cell.name for job, _ in refused], 3)
        lines.append(f"{label}: {len(refused)} of {plural(len(own), 'cell')} {verb} ({named}): {first.rstrip('.')}")
    return lines + _idle_tests(jobs)


def check_files(jobs: Sequence[Job]) -> None:
    """Raise BenchError if the files of a row with pending jobs cannot be loaded; call this before workers try to."""
    for row in {job.row.label: job.row for job in jobs}.values():
        method = row.maker(row.variant, row.options)
        try:
            getattr(method, "check_files", lambda: None)()
        except BenchError as error:
            raise BenchError(f"{row.label}: {error}") from None


def _idle_tests(jobs: Sequence[Job]) -> list[str]:
    """Return a line that states why no test could tell the methods apart, whatever their scores.

    Return [] if a test could, or if there is only one method. Holm's correction multiplies the smallest p by the number
    of pairs.
    """
    methods = {job.row.label for job in jobs if not job.row.is_control}
    drivers = {job.cell.driver.name for job in jobs if not job.cell.problem}
    pairs = len(methods) * (len(methods) - 1) // 2
    least = min(pairs * (smallest_p(len(drivers)) or 1.0), 1.0)
    if not pairs or least < ALPHA:
        return []
    alone = smallest_p(len(drivers))
    if alone is None:
        why = "a test needs differences on several drivers, and there is only one"
    else:
        times = f", and the correction for {pairs} pairs of methods multiplies it by {pairs}" if pairs > 1 else ""
        why = f"with {len(drivers)} drivers, whose differences a test flips at random, p is at least {alone:.3f}{times}"
    enough = next((n for n in range(2, ALL_FLIPS_UP_TO + 1) if pairs * (smallest_p(n) or 1.0) < ALPHA), None)
    remedy = f". At least {enough} drivers are needed for p < {ALPHA:g}" if enough else ""
    return [f"no test can separate the methods: {why}{remedy}"]
