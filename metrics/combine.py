"""Summing up: what all metrics do with the cells they were given."""

from collections.abc import Sequence

import numpy as np
from megbench.core.contracts import Figure, Partial, Score


def mean_scores(figures: Sequence[Figure], partials: Sequence[Partial]) -> list[Score]:
    """Plain mean of every figure over the cells that have it, with how many of how many those are.

    A figure that no cell has is None, with the status and reason of the first supplied cell that lacks it.
    """
    return [_mean_score(figure.name, partials) for figure in figures]


def _mean_score(figure: str, partials: Sequence[Partial]) -> Score:
    values = [value for partial in partials if (value := partial.values.get(figure)) is not None]
    if values:
        return Score(figure, float(np.mean(values)), "ok", "", len(values), len(partials))
    return absent_score(figure, partials)


def absent_score(figure: str, partials: Sequence[Partial]) -> Score:
    """Return the score of a figure that no cell has; cells that were not supplied give its reason only if all are."""
    if not partials:
        return Score(figure, None, "skipped", "no cells", 0, 0)
    first = min(partials, key=lambda partial: partial.status == "missing")
    status = "unavailable" if first.status == "ok" else first.status
    return Score(figure, None, status, first.why_absent(figure), 0, len(partials))
