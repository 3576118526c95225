"""Tables of experts' judgements: Table 1 of MEGC2021 with intervals, pairs of methods, and agreement of the experts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megbench.core.errors import plural
from megbench.core.statistics import (
    LEVEL,
    Float64s,
    Interval,
    Paired,
    bootstrap_interval,
    cluster_draws,
    icc,
    krippendorff_alpha,
    paired_all,
    said_p,
)
from megbench.experts.judgements import ITEMS, PERFECT, Item, Judgement, drivers, in_order, means, ratings
from megbench.reports.intervals import groups, paired_table, with_interval
from megbench.reports.table import Column, Entry, Section, Table

# Both are sums over experts, as the challenges publish them: the first since MEGC2021, the second since MEGC2022.
NORMALISED = (
    "Normalised by the best: a method's total as a share of the best total that the same expert gave, summed over"
    " {experts}; {most} is best. It depends on the methods in the table: adding or removing one may change every other"
    " number in that column."
)
OF_PERFECT = (
    f"Of perfect: a method's total as a share of the perfect total ({PERFECT} per video), summed over {{experts}};"
    " {most} is perfect."
)
INTERVALS = (
    "The intervals beside values are {level:.0%} bootstrap intervals, for which drivers are resampled with all their"
    " videos; with fewer than five drivers there is no interval. Methods that share a group cannot be told apart (means"
    " over experts by cell, signs flipped by driver, Holm's correction, 5 %)."
)


@dataclass(frozen=True)
class Totals:
    """Summed scores of every method: `totals` (methods, experts), NaN if an expert did not judge every cell.

    normalised, of_perfect, per_video: for each method, a value with its interval. The first two are sums over the
    experts, each of whom adds at most 1; per_video is between 0 and 9.
    """

    methods: list[str]
    experts: list[str]
    totals: Float64s
    overall: Float64s
    normalised: list[Interval]
    of_perfect: list[Interval]
    per_video: list[Interval]


def add_up(judgements: Sequence[Judgement]) -> Totals:
    """Return the totals and the three normalisations of the challenge.

    normalised: sum over experts of total / best total. of_perfect: sum over experts of total / perfect score.
    per_video: mean over experts and videos, 0 to 9. Intervals resample drivers; each sample has its own best totals.
    """
    methods, experts = in_order(j.method for j in judgements), in_order(j.expert for j in judgements)
    names = in_order(j.driver for j in judgements)
    cells = len(in_order(j.cell for j in judgements))
    sums = np.zeros((len(names), len(methods), len(experts)))
    judged = np.zeros_like(sums)
    for j in judgements:
        place = names.index(j.driver), methods.index(j.method), experts.index(j.expert)
        sums[place] += j.score()
        judged[place] += 1
    whole = judged.sum(0) == cells
    counts = cluster_draws(len(names))
    drawn = np.einsum("dg,gme->dme", counts, sums)
    videos = np.einsum("dg,gme->dme", counts, judged)
    totals = np.where(whole, sums.sum(0), np.nan)

    def intervals(values: Float64s, draws: Float64s) -> list[Interval]:
        n = [int(judged[:, m].sum()) for m in range(len(methods))]
        return [
            bootstrap_interval(float(value), draws[:, m], n[m], len(names))
            if np.isfinite(value)
            else Interval(None, None, None, n[m], len(names), LEVEL, "an expert did not judge all videos")
            for m, value in enumerate(values)
        ]

    every = np.where(whole, drawn, np.nan)
    return Totals(
        methods,
        experts,
        totals,
        totals.sum(1),
        intervals(_normalised(totals), _normalised(every)),
        intervals((totals / (PERFECT * cells)).sum(1), _share(every, videos * PERFECT).sum(2)),
        intervals(_share(sums.sum((0, 2)), judged.sum((0, 2))), _share(drawn.sum(2), videos.sum(2))),
    )


def _normalised(totals: Float64s) -> Float64s:
    """Return the sum over experts (last axis) of total / best total over methods (axis before it). NaN propagates."""
    best = np.fmax.reduce(totals, axis=-2, keepdims=True)
    return _share(totals, np.broadcast_to(best, totals.shape)).sum(-1)


def _share(above: Float64s, below: Float64s) -> Float64s:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)


@functools.lru_cache(maxsize=4)
def _compared(judgements: tuple[Judgement, ...]) -> dict[tuple[str, str], Paired]:
    """Compare all pairs of methods, the better mean first, using means over experts by cell."""
    values = means(judgements)
    ranked = sorted(values, key=lambda m: -np.mean(list(values[m].values())) if values[m] else np.inf)
    return paired_all({method: values[method] for method in ranked}, drivers(judgements))


def table_one(judgements: Sequence[Judgement]) -> Table:
    """Return Table 1: totals by expert and overall, and the three normalisations with intervals, best method first."""
    found = add_up(judgements)
    order = sorted(range(len(found.methods)), key=lambda m: -(found.per_video[m].value or 0.0))
    tied = groups(_compared(tuple(judgements)))
    most = len(found.experts)
    by_best, of_perfect = (t.format(experts=plural(most, "expert"), most=most) for t in (NORMALISED, OF_PERFECT))
    drawn, span = INTERVALS.format(level=LEVEL), f"0 to {most}"
    # Means over different numbers of videos are not compared.
    better = True if len({interval.n for interval in found.per_video}) == 1 else None
    columns = (
        Column("method"),
        *(Column(expert, "↑", 0, "Total of this expert.", "Totals", True) for expert in found.experts),
        Column("overall", "↑", 0, "Sum over the experts.", "Totals", True),
        Column("normalised by the best", "↑", 3, by_best, "", True, span, "normalised by the best", intervals=True),
        Column("of perfect", "↑", 3, of_perfect, "", True, span, "of perfect", intervals=True),
        Column("mean per video", "↑", 2, f"Mean over experts and videos, 0 to {PERFECT}.", "", better, intervals=True),
        Column("group", "", 0, drawn),
    )
    rows = tuple(
        (
            Entry(found.methods[m]),
            *map(_total, (*found.totals[m], found.overall[m])),
            with_interval(found.normalised[m], 3),
            with_interval(found.of_perfect[m], 3),
            with_interval(found.per_video[m], 2),
            tied.get(found.methods[m], Entry("1")),
        )
        for m in order
    )
    return Table("Experts' judgements", columns, (Section("", rows),), (by_best, of_perfect, drawn))


def _total(value: float) -> Entry:
    return Entry(float(value)) if np.isfinite(value) else Entry(None, "an expert did not judge all videos")


def pairs_table(judgements: Sequence[Judgement]) -> Table:
    """Return a table of all pairs of methods: mean difference per video with its interval, p and Holm's p."""
    return paired_table("Pairs of methods, mean per video", _compared(tuple(judgements)))


def agreement_table(judgements: Sequence[Judgement]) -> Table:
    """Return how closely the experts agree, for each score and for the videos' sums."""
    k = len(in_order(j.expert for j in judgements))
    columns = (
        Column("score"),
        Column("ICC(2,1)", "↑", 2, "One expert, absolute agreement."),
        Column("ICC(3,1)", "↑", 2, "One expert, order only: an expert who is stricter does not lower it."),
        Column(f"ICC(3,{k})", "↑", 2, "Mean of these experts, order only."),
        Column("alpha", "↑", 2, "Krippendorff's alpha, ordinal."),
        Column("videos", "", 0),
    )

    def row(item: Item) -> tuple[Entry, ...]:
        _, scores = ratings(judgements, item)
        found, alpha = icc(scores), krippendorff_alpha(scores)
        reason = found.reason or "all scores are alike"
        return (
            Entry(item),
            *(Entry(value, reason) for value in (found.icc21, found.icc31, found.icc3k, alpha)),
            Entry(float(found.n_items)),
        )

    return Table("Agreement of the experts", columns, (Section("", (*map(row, ITEMS), row("sum"))),))


def gap(judgements: Sequence[Judgement]) -> str:
    """Return a sentence on the two best methods, or "" if there is only one."""
    pairs = _compared(tuple(judgements))
    if not pairs:
        return ""
    (first, second), found = next(iter(pairs.items()))
    difference, p = found.difference, found.p
    if difference.value is None or difference.low is None or p is None:
        return f"{first} and {second} cannot be compared: {difference.reason}."
    verdict = "excludes 0" if difference.excludes_zero else "includes 0: their order is within the noise"
    return (
        f"{first} leads {second} by {difference.value:.2f} per video; the {difference.level:.0%} interval over"
        f" {difference.n_clusters} drivers, {difference.low:.2f} to {difference.high:.2f}, {verdict} ({said_p(p)})."
    )
