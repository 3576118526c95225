"""How closely action unit detectors agree: in their curves of the same clips, and in how they rank rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from megbench.reports.cell_curves import numbers
from megbench.reports.marks import marked
from megbench.reports.run_facts import CellFacts
from megbench.reports.run_files import FinishedRun, Series
from megbench.reports.table import Column, Entry, Section, Table

Values = npt.NDArray[np.float64]
SHORTEST = 3
NOTE = (
    "Correlation over time between two detectors' curves of the same clip, averaged over the cells (their number is in"
    " brackets) in which both find that the driver moves the unit and neither finds the output constant. 1 means that"
    " they see the same curve; a value around 0 means that at least one of them does not see this unit."
)
NO_CELL = "there is no cell in which both detectors see this unit move"
DRIVER = "driver"


def disagreements(run: FinishedRun) -> list[Table]:
    """Return a table (units by driver and methods) for each pair of detectors that ran; [] if fewer than two did."""
    return [table for pair in itertools.combinations(run.detectors, 2) if (table := _table(run, *pair))]


def _table(run: FinishedRun, one: str, other: str) -> Table | None:
    """Return how two metrics' curves correlate, or None if they have no unit in common."""
    pairs = [(a, b) for a in _units(run, one) for b in _units(run, other) if numbers(a) & numbers(b)]
    if not pairs:
        return None
    labels = [method.label for method in run.methods]
    columns = {DRIVER: _correlations(run, (one, other), pairs, DRIVER, labels)}
    columns |= {label: _correlations(run, (one, other), pairs, "output", [label]) for label in labels}
    units = [" / ".join(dict.fromkeys(pair)) for pair in pairs]
    seen = [k for k in range(len(pairs)) if any(values[k] for values in columns.values())]
    if not seen:
        return None
    rows = [(Entry(units[k]), *(_entry(values[k]) for values in columns.values())) for k in seen]
    rows.append((Entry("all units"), *(_entry(list(itertools.chain(*values))) for values in columns.values())))
    unseen = ", ".join(unit for k, unit in enumerate(units) if k not in seen)
    words = [run.detectors[metric] for metric in (one, other)]
    table = Table(
        f"Detectors compared, {words[0]} and {words[1]}: correlation of their time courses in the same clips",
        (Column("unit"), *(Column(title, decimals=2, note=NOTE) for title in columns)),
        (Section("", tuple(rows)),),
        (
            _order(run, one, other),
            *([f"Units that the two detectors do not both see move in any cell: {unseen}."] if unseen else []),
        ),
    )
    return marked(run, table)


def _units(run: FinishedRun, metric: str) -> list[str]:
    """Return the units of a detector, from the names of its figures `<metric>_track_<unit>`."""
    start = f"{metric}_track_"
    return [name.removeprefix(start) for name in run.figures if name.startswith(start)]


def _correlations(
    run: FinishedRun, metrics: tuple[str, str], pairs: Sequence[tuple[str, str]], role: str, labels: Sequence[str]
) -> list[list[float]]:
    """Return the correlations of the two detectors' curves for each pair of units, one for each cell that counts.

    labels: the rows whose scores hold the curves; in each cell the first row that counts is used.
    """
    found: list[list[float]] = [[] for _ in pairs]
    for cell in run.facts.cells:
        kept = {label: series for label in labels if set(metrics) <= (series := run.series(label, cell)).keys()}
        for units, values in zip(pairs, found, strict=True):
            seen = list(zip(metrics, units, strict=True))
            counted = (label for label in kept if all(_moves(run, label, cell, metric, unit) for metric, unit in seen))
            if label := next(counted, ""):
                values += _correlation(*(_at(kept[label][metric], f"{unit}_{role}") for metric, unit in seen))
    return found


def _moves(run: FinishedRun, label: str, cell: CellFacts, metric: str, unit: str) -> bool:
    return run.of_cell(label, cell, f"{metric}_track_{unit}").value is not None


def _at(series: Series, name: str) -> dict[int, float]:
    """Return a curve's values by frame, or {} if the metric stored no such curve."""
    curve = series.curves.get(name, [])
    return dict(zip(series.frames or range(len(curve)), curve, strict=bool(curve)))


def _correlation(one: dict[int, float], other: dict[int, float]) -> Iterator[float]:
    """Yield the correlation over the frames that both curves have, or nothing if it is undefined."""
    a, b = (np.array([of[frame] for frame in sorted(one.keys() & other.keys())]) for of in (one, other))
    kept = np.isfinite(a) & np.isfinite(b)
    a, b = a[kept], b[kept]
    if len(a) >= SHORTEST and np.ptp(a) > 0 and np.ptp(b) > 0:
        yield float(np.corrcoef(a, b)[0, 1])


def _entry(values: Sequence[float]) -> Entry:
    return Entry(float(np.mean(values)), remark=str(len(values))) if values else Entry(None, NO_CELL)


def _order(run: FinishedRun, one: str, other: str) -> str:
    """Return a sentence on whether two detectors put the rows in the same order."""
    words = " and ".join(run.detectors[metric] for metric in (one, other))
    scores = [
        [run.combined(method.label, f"{metric}_track").value for metric in (one, other)] for method in run.facts.methods
    ]
    both = np.array([pair for pair in scores if None not in pair], float).reshape(-1, 2)
    if len(both) < SHORTEST:
        return f"Order of rows by AU over time: fewer than {SHORTEST} rows have it from both {words}."
    tau = kendalltau(both[:, 0], both[:, 1]).statistic
    if not np.isfinite(tau):
        return f"Order of {len(both)} rows by AU over time: {words.replace(' and ', ' or ')} ties them all."
    by = f"Kendall's tau of {words} {tau:.2f}; 1 is the same order"
    return f"Order of {len(both)} rows, controls included, by AU over time: {by}."
