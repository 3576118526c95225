"""Measure a sample of a run's outputs again, for `results check --run`: do the scores belong to the run's frames?"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megbench.commands.request import Request, load_metrics, make_protocol, make_rows, possible_rows
from megbench.core.clip import content_hash
from megbench.core.files.cache import read_json
from megbench.core.frames import read_frames
from megbench.engine.runner import Job, Settings, cell_folder, plan
from megbench.engine.scoring import measure, unready
from megbench.faces.features import Seen
from megbench.results.means import kept, same
from megbench.results.submission import CellResult, Submission


def measured_again(made: Submission, run: Path, sample: int, seed: int) -> tuple[int, list[str]]:
    """Measure `sample` randomly drawn outputs of a run again. Return how many were measured, and a line per difference.

    The frames come from the run; the drivers and truths come from the protocol. Raise BenchError if this machine cannot
    repeat the run's request.
    """
    asked = (read_json(run / "run.json") or {})["request"]
    request = Request(**{name: asked[name] for name in Request.__dataclass_fields__ if name in asked})
    source = make_protocol(request.protocol, request.folders, request.face)
    cells = source.cells()
    metrics = [make() for make in load_metrics(request) if not unready(make)]
    rows = {row.label: row for row in made.rows}
    with tempfile.TemporaryDirectory(prefix="megbench-") as folder:
        settings = Settings(Path(folder) / "store", request.device, request.seed, 1)
        jobs = plan(possible_rows(make_rows(request), request, cells), cells, source.version, settings)
        done = [job for job in jobs if _result(rows, job) is not None]
        drawn = random.Random(seed).sample(done, min(sample, len(done)))
        lines = [line for job in drawn for line in _other_scores(run, job, rows, metrics, Path(folder))]
    return len(drawn), lines


def _result(rows: dict[str, Any], job: Job) -> CellResult | None:
    row = rows.get(job.row.label)
    found: CellResult | None = row.cells.get(job.cell.name) if row else None
    return found if found and found.status == "ok" else None


def _other_scores(run: Path, job: Job, rows: dict[str, Any], metrics: list[Any], cache: Path) -> Iterator[str]:
    found = rows[job.row.label].cells[job.cell.name]
    place = f"row {job.row.label} on {job.cell.name}"
    frames = read_frames(cell_folder(run, job) / "frames", job.cell.driver.n_frames)
    if content_hash(frames) != found.output:
        yield f"{place}: the run's frames have a different hash"
        return
    seen = Seen(job.cell, frames, cache / "features")
    for metric in metrics:
        for name, value in measure(metric, job.cell, seen).values.items():
            if not same(kept(value), found.scores.get(name)):
                yield f"{place}: {name} is {found.scores.get(name)}, but {value} when measured again"
