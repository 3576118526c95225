"""From partial scores to one table: every figure of every row, in each cell and aggregated over sets of cells."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from megbench.core.clip import Cell
from megbench.core.combine import combined
from megbench.core.contracts import Metric, Score
from megbench.core.files.cache import write_text
from megbench.engine.runner import Job
from megbench.engine.scoring import Partials, finite, place

SCORES = "scores.csv"
COLUMNS = [
    *("method", "is_control", "scope", "group", "driver", "template", "database", "emotion"),
    *("metric", "figure", "value", "status", "reason", "warning", "n_scored", "n_cells"),
]
# Cells are grouped by the value that each of these functions returns; every group gets combined rows.
SCOPES: dict[str, Callable[[Cell], str]] = {
    "all": lambda cell: "",
    "database": lambda cell: cell.driver.database,
    "emotion": lambda cell: cell.driver.emotion,
    "template": lambda cell: cell.template.name,
}


def combine(run: Path, jobs: Sequence[Job], partials: Partials, metrics: Sequence[Metric]) -> bool:
    """Aggregate the partial scores over all cells and by database, emotion and template; write scores.csv.

    Return whether the file changed.
    """
    rows: list[dict[str, Any]] = []
    by_label: dict[str, list[Job]] = {}
    for job in jobs:
        by_label.setdefault(job.row.label, []).append(job)
    for metric in metrics:
        for of_label in by_label.values():
            rows += _cell_rows(metric, of_label, partials)
            rows += _combined_rows(metric, of_label, partials)
    text = _table(rows)
    path = run / SCORES
    if path.exists() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV; absent values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _cell_rows(metric: Metric, jobs: Sequence[Job], partials: Partials) -> Iterator[dict[str, Any]]:
    for job in jobs:
        partial = partials[place(job)][metric.name]
        for figure in metric.figures:
            value = partial.values.get(figure.name)
            status = "unavailable" if value is None and partial.status == "ok" else partial.status
            yield {
                **_columns(job, "cell", ""),
                **{"driver": job.cell.driver.name, "template": job.cell.template.name},
                **{"database": job.cell.driver.database, "emotion": job.cell.driver.emotion},
                **{"metric": metric.name, "figure": figure.name, "value": value, "status": status},
                **{"reason": partial.why_absent(figure.name), "warning": ""},
                **{"n_scored": int(value is not None), "n_cells": 1},
            }


def _combined_rows(metric: Metric, jobs: Sequence[Job], partials: Partials) -> Iterator[dict[str, Any]]:
    for scope, group_of in SCOPES.items():
        for group in dict.fromkeys(group_of(job.cell) for job in jobs):
            members = [partials[place(job)][metric.name] for job in jobs if group_of(job.cell) == group]
            for found in combined(metric, members):
                yield {**_columns(jobs[0], scope, group), "metric": metric.name, **_score_columns(found)}


def _columns(job: Job, scope: str, group: str) -> dict[str, Any]:
    return {"method": job.row.label, "is_control": job.row.is_control, "scope": scope, "group": group}


def _score_columns(found: Score) -> dict[str, Any]:
    return {**vars(found), "value": None if found.value is None else finite(found.value)}
