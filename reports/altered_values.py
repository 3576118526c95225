"""Compare a run with its repetition on altered drivers: one figure per row, and the order of the rows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import kendalltau

from megbench.core.figures import Figure
from megbench.core.pooled import pooled
from megbench.reports.intervals import of_cells
from megbench.reports.pooled import products
from megbench.reports.run_files import FinishedRun
from megbench.reports.table import Entry

# At half the rate, neighbouring frames are twice as far apart, and no factor compensates for that.
OTHER_RATE = "another frame rate: computed from neighbouring frames, which are twice as far apart"
NO_ORDER = "an order needs at least two rows"
ALL_TIED = "the rows do not differ"
Values = Mapping[str, tuple[float, float]]


def both(run: FinishedRun, other: FinishedRun, figure: Figure, rows: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return each row's value of a figure without and with altered drivers, over the cells that have it in both runs.

    Values in the unit "frames" count frames of the unaltered drivers. If values may lie on either side of the ideal,
    they are replaced by their distance from it. Return {} if the two runs' frame rates cannot be compared.
    """
    if not comparable(other, figure):
        return {}
    found = {}
    for label in rows:
        values = [_over_cells(one, label, figure, shared_cells(run, other, label, figure)) for one in (run, other)]
        if values[0] is not None and values[1] is not None:
            found[label] = values[0], values[1]
    return found


def comparable(other: FinishedRun, figure: Figure) -> bool:
    """Return whether a figure has the same meaning in a run with altered drivers, whatever their frame rate."""
    return not (at_half_rate(other) and figure.neighbours)


def at_half_rate(run: FinishedRun) -> bool:
    """Return whether the drivers of a run have lost every second frame."""
    done = run.facts.request.get("perturb")
    return isinstance(done, dict) and done.get("label") == "half_rate"


def shared_cells(run: FinishedRun, other: FinishedRun, label: str, figure: Figure) -> list[str]:
    """Return the cells for which both runs have the row's figure or the sums from which it is pooled.

    Return [] for a figure that is computed from all outputs as a set.
    """
    if figure.pooling == "set":
        return []
    of = of_cells if figure.pooling == "mean" else products
    return sorted(of(run, label, figure.name).keys() & of(other, label, figure.name).keys())


def _over_cells(run: FinishedRun, label: str, figure: Figure, cells: Sequence[str]) -> float | None:
    """Return the value that `both` compares, for one row in one run, or None if no cell has it."""
    per_frame = 2.0 if figure.unit == "frames" and at_half_rate(run) else 1.0
    if figure.pooling == "set":
        value = run.combined(label, figure.name).value
        return None if value is None else _aimed(figure, per_frame * value)
    if not cells:
        return None
    if figure.pooling == "pooled":
        sums = products(run, label, figure.name)
        return _aimed(figure, float(pooled(np.sum([sums[cell] for cell in cells], axis=0))))
    of = of_cells(run, label, figure.name)
    return float(np.mean([_aimed(figure, per_frame * of[cell]) for cell in cells]))


def _aimed(figure: Figure, value: float) -> float:
    return figure.distance(value) if figure.two_sided else value


def _far(figure: Figure, value: float) -> float:
    """Return the distance of a value returned by `both` from the ideal."""
    return value if figure.two_sided else figure.distance(value)


def order_entry(figure: Figure, values: Values) -> Entry:
    """Return tau between the two orders of rows, and how many pairs changed places ("1 of 6").

    values: what `both` returns.
    """
    if len(values) < 2:
        return Entry(None, NO_ORDER)
    before, after = ([_far(figure, of[i]) for of in values.values()] for i in (0, 1))
    tau = float(kendalltau(before, after).statistic)
    if math.isnan(tau):
        return Entry(None, ALL_TIED)
    pairs = swapped(figure, values)
    return Entry(tau, "", f"{len(pairs)} of {math.comb(len(values), 2)}" if pairs else "")


def swapped(figure: Figure, values: Values) -> list[str]:
    """Return the pairs of rows that changed places, such as "fomm and mraa", with the better one first."""
    before, after = ({label: _far(figure, of[i]) for label, of in values.items()} for i in (0, 1))
    ranked = sorted(before, key=lambda label: before[label])
    return [
        f"{better} and {worse}"
        for better, worse in itertools.combinations(ranked, 2)
        if before[better] < before[worse] and after[better] > after[worse]
    ]
