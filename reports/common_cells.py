"""Means over the cells that all methods share, shown beside the means over each method's own cells.

Outputs made by others seldom cover all cells, and cells differ in difficulty. A mean over seven cells therefore cannot
be compared with a mean over eighteen.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

from megbench.reports.headlines import RANKED_BY, column, headlines
from megbench.reports.leaderboard import brief
from megbench.reports.marks import marked
from megbench.reports.run_facts import CellFacts, MethodFacts
from megbench.reports.run_files import FinishedRun
from megbench.reports.spotting import caution
from megbench.reports.table import Column, Entry, Section, Table


def unequal(run: FinishedRun) -> tuple[CellFacts, ...] | None:
    """Return the cells that all methods with any score have in common, or None if all have the same cells."""
    kept = [
        {cell.name for cell in run.facts.cells if run.of_cell(method.label, cell, RANKED_BY).value is not None}
        for method in run.methods
    ]
    kept = [names for names in kept if names]
    if all(names == kept[0] for names in kept):
        return None
    shared = set.intersection(*kept)
    return tuple(cell for cell in run.facts.cells if cell.name in shared)


def common_means(run: FinishedRun) -> Table | None:
    """Return the leaderboard over the cells that all methods have, or None if all have the same cells or share none."""
    cells = unequal(run)
    if not cells:
        return None
    chosen = [
        figure
        for figure in headlines(run)
        if figure.pooling != "pooled" and any(_mean(run, m, figure.name, cells).value is not None for m in run.methods)
    ]
    columns = (Column("method"), *(column(run, figure) for figure in chosen))

    def row(method: MethodFacts) -> tuple[Entry, ...]:
        return (Entry(method.label), *(_mean(run, method, figure.name, cells) for figure in chosen))

    parts = (("Methods", run.methods), ("Controls", run.controls))
    sections = tuple(Section(heading, tuple(map(row, methods))) for heading, methods in parts if methods)
    return marked(run, Table(f"Means over the {_counted(cells)}", columns, sections))


def told(run: FinishedRun) -> str:
    """Return a note with means over the common cells if the leaderboard's methods cover different cells, or ""."""
    cells = unequal(run)
    if cells is None:
        return ""
    opening = "These means are over different sets of cells"
    if not cells:
        return f"{opening}, and no cell is in all of them, so they cannot be compared."
    means = {method.label: _mean(run, method, RANKED_BY, cells) for method in run.methods}
    listed = ", ".join(f"{label} {mean.shown(2)}" for label, mean in means.items() if mean.value is not None)
    return f"{opening}. Over the {_counted(cells)}, {RANKED_BY} is: {listed}."


def _counted(cells: Sequence[CellFacts]) -> str:
    return f"{len(cells)} cells that every method has" if len(cells) > 1 else "one cell that every method has"


def summary(run: FinishedRun) -> Table:
    """Return the leaderboard for a terminal, with warnings and, if rows cover unequal cells, means over shared ones."""
    table = brief(run)
    lines = (told(run), *table.footnotes, caution(run))
    return dataclasses.replace(table, footnotes=tuple(filter(None, lines)))


def _mean(run: FinishedRun, method: MethodFacts, figure: str, cells: tuple[CellFacts, ...]) -> Entry:
    """Return the mean of a row's values; if some cells have no value, a remark such as "5/7" counts those that do."""
    found = [run.of_cell(method.label, cell, figure) for cell in cells]
    values = [one.value for one in found if one.value is not None]
    if not values:
        return Entry(None, found[0].reason or found[0].status)
    return Entry(statistics.fmean(values), remark="" if len(values) == len(cells) else f"{len(values)}/{len(cells)}")
