"""How a run's figures and the order of its rows change if the drivers are altered (`--perturb`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from megbench.core.errors import BenchError
from megbench.core.figures import Figure
from megbench.engine.run_folder import PERTURBED
from megbench.reports.altered_values import (
    OTHER_RATE,
    at_half_rate,
    both,
    comparable,
    order_entry,
    shared_cells,
    swapped,
)
from megbench.reports.headlines import against_truth, headlines
from megbench.reports.marks import footnotes
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Column, Entry, Section, Table

CHANGE = (
    "Values with altered drivers minus values with unaltered ones, as means over rows; each row is averaged over the"
    " cells that it has in both runs. Outputs are made from the altered drivers and compared with them; figures against"
    " the truth use the unaltered truth. Figures that can lie on either side of their ideal are shown as distances from"
    " it, cell by cell, so lower is better. If rows or cells are missing, the count and the unaltered mean over the"
    " same rows and cells are shown beside the value. Figures that are computed from all cells as a set use the cells"
    " that each run has."
)
ORDER = (
    "Kendall's tau between the orders of the rows with altered and with unaltered drivers, where rows are ordered by"
    " their distance from the figure's ideal: 1 is the same order, 0 is chance. The number beside it shows how many of"
    " all pairs changed places. Rows that the leaderboard cannot tell apart may change places by chance."
)
RATE = (
    "half_rate: figures in frames are counted in frames of the unaltered driver, which are twice as many as at half the"
    " rate. This does not change the order of rows."
)
# Entries of a request that do not affect the scores.
UNDECIDING = ("perturb", "media_all", "named_metrics", "reference")


def altered_runs(run: FinishedRun) -> dict[str, FinishedRun]:
    """Return the finished runs on altered drivers that are in a run's folder, by alteration.

    Runs with a different request, or with methods or metrics that have changed since, are left out.
    """
    found = {}
    for path in sorted((run.folder / PERTURBED).glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            other = FinishedRun(path.parent)
        except BenchError:  # unfinished: the same command completes it
            continue
        done = other.facts.request.get("perturb")
        if other.facts.finished and isinstance(done, dict) and _of_one_kind(run, other):
            found[str(done.get("label"))] = other
    return found


def _of_one_kind(run: FinishedRun, other: FinishedRun) -> bool:
    wanted = {name: value for name, value in other.facts.request.items() if name not in UNDECIDING}
    identities = {method.label: method.identity for method in run.facts.methods}
    return (
        all(run.facts.request.get(name) == value for name, value in wanted.items())
        and all(identities.get(method.label) == method.identity for method in other.facts.methods)
        and [(m.name, m.version) for m in run.facts.metrics] == [(m.name, m.version) for m in other.facts.metrics]
    )


def perturbed_tables(run: FinishedRun) -> dict[str, Table]:
    """Return how each figure and the order of rows changed with altered drivers, or {} if there are none."""
    others = altered_runs(run)
    if not others:
        return {}
    figures = [figure for figure in headlines(run) if figure.ideal is not None]
    methods = [method.label for method in run.methods]
    controls = [method.label for method in run.controls]
    done = "; ".join(f"{label}: {other.facts.request['perturb'].get('says')}" for label, other in others.items())
    marks = footnotes(run, methods)
    rate = [RATE] if any(at_half_rate(other) for other in others.values()) else []
    parts = [(name, rows) for name, rows in (("Methods", methods), ("Controls", controls)) if rows]
    change = Table(
        "Altered drivers: change of figures",
        (Column("figure"), Column("unaltered", "", 3), *(Column(label, "", 3, CHANGE) for label in others)),
        tuple(
            Section(f"{name}, mean of {len(rows)}", tuple(_changes(run, others, figure, rows) for figure in figures))
            for name, rows in parts
        ),
        (CHANGE, *rate, f"{done}.", *_lost(run, others), *marks),
    )
    kinds = (("Methods", methods), ("All rows", methods + controls))
    parts = [(name, rows) for name, rows in kinds if len(rows) > 1] or [("All rows", methods + controls)]
    order = Table(
        "Altered drivers: order of rows",
        (Column("figure"), *(Column(label, "↑", 2, ORDER) for label in others)),
        tuple(Section(name, tuple(_orders(run, others, figure, rows) for figure in figures)) for name, rows in parts),
        (ORDER, *rate, *_who(run, others, figures, methods), *marks),
    )
    return {"change": change, "order": order}


def _name(run: FinishedRun, figure: Figure) -> Entry:
    if figure.two_sided:
        return Entry(figure.aimed)
    titles = [against_truth(one, "{} (truth)") for one in headlines(run)]
    title = against_truth(figure, "{} (truth)")
    return Entry(f"{title if titles.count(title) == 1 else figure.name} {figure.arrow}".rstrip())


def _changes(
    run: FinishedRun, others: Mapping[str, FinishedRun], figure: Figure, rows: Sequence[str]
) -> tuple[Entry, ...]:
    plain = both(run, run, figure, rows)
    if plain:
        mean = Entry(float(np.mean([value for value, _ in plain.values()])), "", _rows_of(len(plain), len(rows)))
    else:
        found = run.combined(rows[0], figure.name)
        mean = Entry(None, found.reason or found.status)
    return (_name(run, figure), mean, *(_change(run, other, figure, rows, list(plain)) for other in others.values()))


def _change(run: FinishedRun, other: FinishedRun, figure: Figure, rows: Sequence[str], plain: Sequence[str]) -> Entry:
    """Return the mean change over rows, with the numbers of rows and cells if some are missing.

    The unaltered mean over the same rows and cells is added if it differs from that of all `plain` rows.
    """
    values = both(run, other, figure, plain)
    if not values:
        return Entry(None, _why_not(other, figure, rows))
    before, after = np.mean(list(values.values()), axis=0)
    cells, had = (sum(len(shared_cells(run, one, label, figure)) for label in plain) for one in (other, run))
    counts = (_rows_of(len(values), len(rows)), f"{cells} of {had} cells" if cells < had else "")
    told = ", ".join(filter(None, counts))
    lost = len(values) < len(plain) or cells < had
    return Entry(float(after - before), "", f"{told}; {before:.3f} unaltered" if lost else told)


def _rows_of(count: int, rows: int) -> str:
    return f"{count} of {rows} rows" if count < rows else ""


def _why_not(other: FinishedRun, figure: Figure, rows: Sequence[str]) -> str:
    if not comparable(other, figure):
        return OTHER_RATE
    found = [other.combined(label, figure.name) for label in rows]
    return next((one.reason for one in found if one.reason), "no row has this figure in both runs")


def _orders(
    run: FinishedRun, others: Mapping[str, FinishedRun], figure: Figure, rows: Sequence[str]
) -> tuple[Entry, ...]:
    return (_name(run, figure), *(_order(run, other, figure, rows) for other in others.values()))


def _order(run: FinishedRun, other: FinishedRun, figure: Figure, rows: Sequence[str]) -> Entry:
    if len(rows) > 1 and not comparable(other, figure):
        return Entry(None, OTHER_RATE)
    return order_entry(figure, both(run, other, figure, rows))


def _who(
    run: FinishedRun, others: Mapping[str, FinishedRun], figures: Sequence[Figure], methods: Sequence[str]
) -> Iterator[str]:
    """Yield a line for each alteration with the pairs of methods that changed places, and in which figures."""
    for label, other in others.items():
        pairs: dict[str, list[str]] = {}
        for figure in figures:
            for pair in swapped(figure, both(run, other, figure, methods)):
                pairs.setdefault(pair, []).append(figure.name)
        if pairs:
            told = "; ".join(f"{pair} in {', '.join(names)}" for pair, names in pairs.items())
            yield f"{label}: methods that changed places: {told}."


def _lost(run: FinishedRun, others: Mapping[str, FinishedRun]) -> list[str]:
    """Return a line for each alteration that causes additional cells to fail."""
    lines = []
    for label, other in others.items():
        rows = [method.label for method in other.facts.methods]
        lost = {row: _failures(other, row) - _failures(run, row) for row in rows}
        if told := [f"{row} {len(cells)}" for row, cells in lost.items() if cells]:
            lines.append(f"{label}: cells that fail only with altered drivers: {', '.join(told)}.")
    return lines


def _failures(run: FinishedRun, label: str) -> set[str]:
    return {cell.name for cell in run.facts.cells if run.failure(label, cell)}
