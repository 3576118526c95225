"""Agreement pooled over cells, as in the leaderboard, with drivers resampled or exchanged."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from megbench.core.pooled import pooled
from megbench.core.statistics import Float64s, Paired, cluster_sums, paired_by_exchange
from megbench.reports.run_files import FinishedRun

Products = Mapping[str, list[float]]


def products(run: FinishedRun, label: str, figure: str) -> dict[str, list[float]]:
    """Return the sums of a pooled figure (<O,D>, |O|^2 and |D|^2) by cell, for the cells that have them."""
    metric, facts = run.figures[figure]
    found = {cell.name: run.sums(label, cell).get(metric.name, {}).get(facts.target) for cell in run.facts.cells}
    return {name: sums for name, sums in found.items() if sums and len(sums) == 3}


def paired_pooled(first: Products, second: Products, cluster_of: Mapping[str, str]) -> tuple[float, float, Paired]:
    """Compare two methods over the cells that both have; return each one's pooled agreement and their difference.

    The interval resamples drivers and pools again; for p, the two methods' cells are exchanged by driver.
    """
    cells = sorted(first.keys() & second.keys())
    names = [cluster_of[cell] for cell in cells]
    a, b = (
        cluster_sums(np.array([of[cell] for cell in cells], float).reshape(-1, 3), names)[0] for of in (first, second)
    )
    a, b = _of_one_length(a), _of_one_length(b)
    one, other = (float(pooled(sums.sum(0))) for sums in (a, b))
    difference = functools.partial(_difference, a, b)
    return one, other, paired_by_exchange(one - other, difference, len(cells), len(a))


def _of_one_length(sums: Float64s) -> Float64s:
    """Scale a method's outputs so that |O|^2 over all drivers is 1, which does not change its agreement.

    Otherwise exchanging cells of a weak and a strong method would mix amplitudes, and p would depend on their gains.
    """
    length = np.sqrt(sums[:, 1].sum())
    return sums / (length, length**2, 1) if length > 0 else sums


def _difference(a: Float64s, b: Float64s, kept: Float64s, exchanged: Float64s) -> Float64s:
    """Return pooled differences (draws,).

    Each cluster counts `kept` times as it is, and `exchanged` times with a and b exchanged.
    """
    return pooled(kept @ a + exchanged @ b) - pooled(kept @ b + exchanged @ a)
