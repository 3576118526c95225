"""Rank agreement: whether a metric ranks outputs as experts do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megbench.core.statistics import DRAWS, LEVEL, Float64s, Interval, bootstrap_interval, cluster_draws, cluster_sums


@dataclass(frozen=True)
class RankAgreement:
    """How often a metric and experts put two outputs of one cell in the same order.

    kendall: tau-b over all such pairs. 1 is the same order, 0 is chance, and -1 is the opposite order.
    accuracy: the share of pairs that the metric orders as the experts do, among those on which the experts are not
        tied. A tie in the metric counts half, and chance is 0.5.
    """

    kendall: Interval
    accuracy: Interval


def rank_agreement(
    scores: Sequence[float],
    judgements: Sequence[float],
    cells: Sequence[str],
    clusters: Sequence[str],
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> RankAgreement:
    """Compare a metric's scores of items with experts' judgements of the same items; in both, higher is better.

    An item is one method's output in one cell; `clusters` names its driver. Pairs of items are formed within each cell,
    so that only the methods differ, and are then pooled over all cells.
    """
    x, y = np.asarray(scores, float), np.asarray(judgements, float)
    i, j = np.triu_indices(len(x), 1)
    same = np.asarray(cells, dtype=str)[i] == np.asarray(cells, dtype=str)[j]
    i, j = i[same], j[same]
    dx, dy = np.sign(x[i] - x[j]), np.sign(y[i] - y[j])
    if not len(i) or not dy.any():
        reason = (
            "the experts are tied on every pair" if len(i) else "no cell has two outputs with a value and judgements"
        )
        none = Interval(None, None, None, len(i), 0, level, reason)
        return RankAgreement(none, none)
    # Columns: concordant minus discordant; not tied by the metric; not tied by the experts; accuracy in half points.
    parts = np.stack([dx * dy, dx != 0, dy != 0, (dy != 0) * (1 + dx * dy)], axis=1).astype(float)
    names = np.asarray(clusters, dtype=str)[i]
    sums, sizes = cluster_sums(parts, list(names))
    counts = cluster_draws(len(sizes), seed, draws)
    untied = int((dy != 0).sum())
    kendall = _tau_b(parts.sum(0)[None])[0]
    accuracy = float(parts[:, 3].sum() / 2 / untied)
    return RankAgreement(
        Interval(None, None, None, len(i), len(sizes), level, "the metric is tied on every pair")
        if np.isnan(kendall)
        else bootstrap_interval(float(kendall), _tau_b(counts @ sums), len(i), len(sizes), level),
        bootstrap_interval(accuracy, _ratio(counts @ sums[:, 3] / 2, counts @ sums[:, 2]), untied, len(sizes), level),
    )


def _tau_b(parts: Float64s) -> Float64s:
    """Return Kendall's tau-b from sums of the columns (..., 3 or more): (C - D) / sqrt(untied by x * untied by y).

    NaN if everything is tied by x or by y.
    """
    return _ratio(parts[..., 0], np.sqrt(parts[..., 1] * parts[..., 2]))


def _ratio(above: Float64s, below: Float64s) -> Float64s:
    """Return above / below, NaN where below is 0."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below != 0)


def item_agreement(
    scores: Sequence[float],
    judgements: Sequence[float],
    clusters: Sequence[str],
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Interval:
    """Return Kendall's tau-b between a metric and experts over pairs of all items, across cells; n counts the items.

    `clusters` names each item's driver. The bootstrap draws drivers with all their items. A pair of items counts once
    for every combination of draws of its two drivers.
    """
    x, y = np.asarray(scores, float), np.asarray(judgements, float)
    dx, dy = (np.sign(of[:, None] - of[None]) for of in (x, y))
    if len(x) < 2 or not dy.any() or not dx.any():
        tied = "the experts are tied on all pairs" if not dy.any() else "the metric is tied on all pairs"
        reason = "fewer than two items" if len(x) < 2 else tied
        return Interval(None, None, None, len(x), 0, level, reason)
    parts = np.stack([dx * dy, dx != 0, dy != 0], axis=2).astype(float)
    rows, sizes = cluster_sums(parts, clusters)  # (G, N, 3)
    sums, _ = cluster_sums(rows.transpose(1, 0, 2), clusters)  # (G, G, 3)
    counts = cluster_draws(len(sizes), seed, draws)
    drawn = np.einsum("dg,gkp,dk->dp", counts, sums, counts, optimize=True)
    value = float(_tau_b(sums.sum((0, 1))[None])[0])
    return bootstrap_interval(value, _tau_b(drawn), len(x), len(sizes), level)
