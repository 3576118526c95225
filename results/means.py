"""Values computed from the scores of single cells: means, intervals and pooled agreement."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from megbench.core.pooled import pooled
from megbench.core.statistics import Interval, bootstrap_mean
from megbench.results.submission import CellResult, FigureFacts, Metric

# The number of significant digits in a file, which exceeds the accuracy of every figure.
DIGITS = 9


def kept(value: float | None) -> float | None:
    """Return a number rounded to the precision of a file."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def same(first: float | None, second: float | None) -> bool:
    """Return whether two numbers are equal to the precision of a file."""
    if first is None or second is None:
        return first is second
    return math.isclose(first, second, rel_tol=1e-6, abs_tol=1e-6)


def mean_of(
    figure: str, cells: Mapping[str, CellResult], driver_of: Mapping[str, str]
) -> tuple[float | None, float | None, float | None, int]:
    """Return the mean, the interval (None with fewer than five drivers) and the number of cells with a figure."""
    values = {name: cell.scores[figure] for name, cell in cells.items() if figure in cell.scores}
    found = _bootstrap(tuple(values.values()), tuple(driver_of[name] for name in values))
    return kept(found.value), kept(found.low), kept(found.high), found.n


@functools.lru_cache(maxsize=4096)  # controls are in every file, with the same scores
def _bootstrap(values: tuple[float, ...], drivers: tuple[str, ...]) -> Interval:
    return bootstrap_mean(values, drivers)


def pooled_of(metric: Metric, figure: FigureFacts, cells: Sequence[CellResult]) -> float | None:
    """Return a figure pooled from the cells' sums, or None if no cell has any."""
    sums = [cell.sums[metric.name] for cell in cells if metric.name in cell.sums]
    products = [found[figure.target] for found in sums if figure.target in found]
    return kept(float(pooled(np.sum(products, axis=0)))) if products else None
