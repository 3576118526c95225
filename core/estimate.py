"""What a run would do and how long it would take, from how long the same work took before on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from core.runner import Job, Settings
from core.store import CellRecord, digest, read_json, write_json


def _speed_key(job: Job, settings: Settings) -> str:
    return digest([job.row.name, job.row.identity, settings.device])


def remember(jobs: Sequence[Job], records: dict[str, CellRecord], settings: Settings) -> None:
    """Keep the seconds per frame of what was just animated."""
    path = settings.store / "speeds.json"
    speeds = read_json(path) or {}
    for job in jobs:
        record = records[job.key]
        if record.status == "ok":
            speeds[_speed_key(job, settings)] = record.seconds / record.n_frames
    write_json(path, speeds)


def forecast(jobs: Sequence[Job], todo: Sequence[Job], settings: Settings) -> str:
    """What a dry run prints: the cells, what is cached, and how long the rest will take."""
    cells = {job.cell.name: job.cell for job in jobs}
    missing = [job.row.label for job in todo]
    lines = [f"{len(cells)} cells:"]
    for cell in cells.values():
        lines.append(
            f"  {cell.name}  "
            + (f"cannot be done: {cell.problem}" if cell.problem else f"{cell.driver.n_frames} frames")
        )
    lines.append("Cached:")
    for label in dict.fromkeys(job.row.label for job in jobs):
        lines.append(f"  {label}: {len(cells) - missing.count(label)} of {len(cells)} cells")
    seconds, untimed = _estimate(todo, settings)
    lines.append(
        f"To animate: {len(todo)} cells, about {seconds:.0f} s with {settings.workers} workers; then scores and report"
    )
    if untimed:
        lines.append(f"Not in the estimate, never timed on this machine: {', '.join(untimed)}")
    return "\n".join(lines)


def _estimate(jobs: Sequence[Job], settings: Settings) -> tuple[float, list[str]]:
    """Seconds to animate the jobs, and the labels of rows that were never timed here and are not counted."""
    speeds = read_json(settings.store / "speeds.json") or {}
    seconds, untimed = 0.0, []
    for job in jobs:
        speed = speeds.get(_speed_key(job, settings))
        if speed is None:
            untimed.append(job.row.label)
        else:
            seconds += speed * job.cell.driver.n_frames
    return seconds / settings.workers, list(dict.fromkeys(untimed))
