"""Aggregation of a metric's figures over any set of cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megbench.core.contracts import Metric, Partial, Score
from megbench.core.errors import BenchError, few


def combined(metric: Metric, partials: Sequence[Partial]) -> list[Score]:
    """Return the score of each of a metric's figures, in order, over the cells that `partials` describe.

    Raise BenchError if the metric's `combine` omits a figure whose pooling is not the mean.
    """
    own: dict[str, Score] = {}
    if pooled := [figure.name for figure in metric.figures if figure.pooling != "mean"]:
        own = {score.figure: score for score in metric.combine(partials)}  # type: ignore[attr-defined]
        if lost := [name for name in pooled if name not in own]:
            raise BenchError(
                f"The `combine` of the metric {metric.name} returns no score for {few(lost)}. Return one for every"
                ' figure whose `pooling` is not "mean".'
            )
    return [
        mean_score(figure.name, partials) if figure.pooling == "mean" else own[figure.name] for figure in metric.figures
    ]


def mean_score(figure: str, partials: Sequence[Partial]) -> Score:
    """Return the plain mean of a figure over the cells that have it, with the number of these cells and of all cells.

    If no cell has the figure, return `absent_score`.
    """
    values = [value for partial in partials if (value := partial.values.get(figure)) is not None]
    if values:
        return Score(figure, float(np.mean(values)), "ok", "", len(values), len(partials))
    return absent_score(figure, partials)


def absent_score(figure: str, partials: Sequence[Partial]) -> Score:
    """Return the score of a figure that no cell has, with the reason given by the first cell that was measured.

    If no cell was measured, the first cell that is not "missing" gives the reason.
    """
    if not partials:
        return Score(figure, None, "skipped", "no cells", 0, 0)
    # A failed output lacks every figure, so its reason does not explain why the other outputs lack this one.
    first = min(partials, key=lambda partial: (partial.status != "ok", partial.status == "missing"))
    status = "unavailable" if first.status == "ok" else first.status
    return Score(figure, None, status, first.why_absent(figure), 0, len(partials))
