"""What a run lacks, in one table with reasons: cells not supplied or without frames, and missing scores."""

import itertools
from collections.abc import Iterator, Sequence

from megbench.core.errors import few
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

# The number of cells to name in one line; the rest are only counted.
NAMED = 4


def missing(run: FinishedRun) -> Table | None:
    """Return a line for each reason: what is missing, in which rows and cells. Return None if nothing is missing."""
    sections = [
        Section("Not supplied", tuple(_lines(run, _without_frames(run, supplied=False)))),
        Section("Without frames", tuple(_lines(run, _without_frames(run, supplied=True)))),
        Section("Without a score", tuple(_lines(run, _without_score(run)))),
    ]
    found = tuple(section for section in sections if section.rows)
    columns = (Column("what"), Column("rows"), Column("cells"), Column("reason"))
    return Table("What is missing, and why", columns, found) if found else None


Gap = tuple[str, str, str, str]  # what, reason, label, cell


def _without_frames(run: FinishedRun, supplied: bool) -> Iterator[Gap]:
    """Yield the cells without frames. supplied: whether to choose those whose inputs were supplied, or the others."""
    for method in run.facts.methods:
        for cell in run.facts.cells:
            failure = run.failure(method.label, cell)
            if failure is not None and run.supplied(method.label, cell) == supplied:
                what = "frames" if supplied else "output"
                yield what, failure, method.label, cell.name


def _without_score(run: FinishedRun) -> Iterator[Gap]:
    """Yield metrics that failed or were skipped although frames exist, except figures that a cell cannot have."""
    gaps = itertools.chain(_without_frames(run, supplied=True), _without_frames(run, supplied=False))
    no_frames = {(label, cell) for _, _, label, cell in gaps}
    cells = {(cell.driver, cell.template): cell.name for cell in run.facts.cells}
    table = run.scores
    lost = table[(table["scope"] == "cell") & table["value"].isna() & table["status"].isin(["failed", "skipped"])]
    columns = ["metric", "reason", "method", "driver", "template"]
    for metric, reason, label, driver, template in dict.fromkeys(lost[columns].itertuples(index=False, name=None)):
        cell = cells.get((driver, template), f"{driver} on {template}")
        if (label, cell) not in no_frames:
            yield metric, reason, label, cell


def _lines(run: FinishedRun, gaps: Iterator[Gap]) -> Iterator[tuple[Entry, ...]]:
    groups: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for what, reason, label, cell in gaps:
        labels, cells = groups.setdefault((what, reason), ([], []))
        labels.append(label)
        cells.append(cell)
    for (what, reason), (labels, cells) in groups.items():
        rows = list(dict.fromkeys(labels))
        named = ", ".join(rows) if len(rows) < len(run.facts.methods) else f"all {len(rows)}"
        where = _some(list(dict.fromkeys(cells)), len(run.facts.cells))
        yield Entry(what), Entry(named), Entry(where), Entry(reason or "no reason was recorded")


def _some(cells: Sequence[str], of: int) -> str:
    """Return the names of the first cells and the number of further ones, or "all" and their number."""
    if len(cells) == of:
        return f"all {of}"
    return few(cells, NAMED)
