"""Uncertainty and agreement: intervals and paired tests clustered by driver, tied groups, agreement between raters.

Cells that share a driver are not independent. Whole drivers are therefore resampled and flipped, never single cells.
Every random draw has its own generator, seeded with `seed`, so that the same data give the same numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from megbench.core.errors import plural

Float64s = npt.NDArray[np.float64]
Key = TypeVar("Key")

DRAWS = 10_000
LEVEL = 0.95
# The significance level at which rows count as different.
ALPHA = 0.05
# Up to this number of clusters, all 2^n sign flips are computed; with more clusters, DRAWS random ones.
ALL_FLIPS_UP_TO = 14
# With fewer clusters, bootstrap draws say too little to give an interval.
FEWEST_CLUSTERS = 5
FEW = "fewer than five drivers: no interval"
UNTESTED = "fewer than two drivers: no test"
# The number of decimals shown for p. A p below LEAST_P is shown as "less than", never as 0.
P_DECIMALS, LEAST_P = 3, 0.001


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval at `level`, computed from `n` samples of `n_clusters` drivers.

    With fewer than five drivers, low and high are None; without data, value is None, too. `reason` states why.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    n_clusters: int
    level: float
    reason: str = ""

    @property
    def excludes_zero(self) -> bool:
        """Whether the entire interval lies on one side of 0; False if there is no interval."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


@functools.lru_cache(maxsize=4)  # a page uses the same draws for all of its figures
def cluster_draws(n_clusters: int, seed: int = 0, draws: int = DRAWS) -> Float64s:
    """Return how often each cluster is drawn when n_clusters clusters are drawn with replacement.

    The array (draws, n_clusters) is read-only, and its rows sum to n_clusters.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=draws).astype(float)
    drawn.flags.writeable = False
    return drawn


def bootstrap_interval(value: float, drawn: Float64s, n: int, n_clusters: int, level: float = LEVEL) -> Interval:
    """Return the interval of `value` from its bootstrap draws, leaving out draws that are not finite.

    To allow for a small number of clusters, the percentiles are moved outwards, as with Student's t (Hesterberg 2015,
    "What teachers should know about the bootstrap", section 4.6). With nine drivers, intervals from plain percentiles
    would cover the true value far less often than in 95 % of cases.
    """
    drawn = drawn[np.isfinite(drawn)]
    if n_clusters < FEWEST_CLUSTERS or not drawn.size:
        return Interval(value, None, None, n, n_clusters, level, FEW)
    from scipy import stats  # takes a second to import, which `smallest_p`, called before every run, can do without

    reach = np.sqrt(n_clusters / (n_clusters - 1)) * stats.t.ppf((1 + level) / 2, n_clusters - 1)
    low, high = np.quantile(drawn, [stats.norm.cdf(-reach), stats.norm.cdf(reach)])
    return Interval(value, float(low), float(high), n, n_clusters, level)


def bootstrap_mean(
    values: Sequence[float], clusters: Sequence[str], seed: int = 0, draws: int = DRAWS, level: float = LEVEL
) -> Interval:
    """Return the mean of `values` with its interval. clusters: the driver of each value.

    Drivers are resampled together with all their values. If there are no values, the mean and the interval are None.
    """
    if not len(values):
        return Interval(None, None, None, 0, 0, level, "no values")
    sums, sizes = cluster_sums(np.asarray(values, float), clusters)
    counts = cluster_draws(len(sizes), seed, draws)
    drawn = (counts @ sums) / (counts @ sizes)
    return bootstrap_interval(float(np.mean(values)), drawn, len(values), len(sizes), level)


def cluster_sums(values: Float64s, clusters: Sequence[str]) -> tuple[Float64s, Float64s]:
    """Return the sum (G, ...) and the count (G,) of the values (N, ...) in each cluster, sorted by cluster name."""
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    sizes = np.bincount(member).astype(float)
    sums = np.zeros((len(sizes), *values.shape[1:]))
    np.add.at(sums, member, values)
    return sums, sizes


@dataclass(frozen=True)
class Paired:
    """The mean difference, first minus second, over shared cells, with p-values for "no difference".

    p is for this comparison alone; p_adjusted is corrected for all comparisons made. p_least is the smallest p that
    this number of drivers and this number of comparisons allow. All three are None with fewer than two drivers;
    p_adjusted is also None for a pair to which no correction was applied.
    """

    difference: Interval
    p: float | None
    p_adjusted: float | None = None
    p_least: float | None = None

    def told_apart(self, alpha: float = ALPHA) -> bool:
        """Return whether the two methods differ significantly at level `alpha`, by the adjusted p if there is one."""
        p = self.p if self.p_adjusted is None else self.p_adjusted
        return p is not None and p < alpha

    def testable(self, alpha: float = ALPHA) -> bool:
        """Return whether the test could have told the two apart at level `alpha` if all drivers had agreed."""
        return self.p_least is not None and self.p_least < alpha


def smallest_p(n_clusters: int, draws: int = DRAWS) -> float | None:
    """Return the smallest p that sign flips of this number of clusters can give; None with fewer than two clusters.

    It is 2 / 2^n if all flips are computed, and 1 / `draws` if random ones are.
    """
    if n_clusters < 2:
        return None
    return 2 / 2**n_clusters if n_clusters <= ALL_FLIPS_UP_TO else 1 / draws


def said_p(p: float) -> str:
    """Return p as text, such as "p = 0.012" or "p < 0.001"; it is never given as 0."""
    return "p < 0.001" if p < LEAST_P else f"p = {p:.{P_DECIMALS}f}"


def paired(
    first: Mapping[str, float],
    second: Mapping[str, float],
    cluster_of: Mapping[str, str],
    seed: int = 0,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> Paired:
    """Compare two methods over the cells that both have, matched by name. cluster_of: the driver of each cell.

    p is two-sided: if the methods did not differ, the sign of each driver's difference would be arbitrary. With up to
    14 drivers, all 2^n flips of signs are counted; with more, `draws` random ones. With nine drivers, p is never below
    2/512.
    """
    cells = sorted(first.keys() & second.keys())
    differences = [first[cell] - second[cell] for cell in cells]
    clusters = [cluster_of[cell] for cell in cells]
    found = bootstrap_mean(differences, clusters, seed, draws, level)
    least = smallest_p(found.n_clusters, draws)
    return Paired(found, _flip(differences, clusters, seed, draws), p_least=least)


def sign_flips(n_clusters: int, seed: int = 0, draws: int = DRAWS) -> Float64s:
    """Return all 2^n sign flips for up to 14 clusters, otherwise `draws` random ones: (flips, n).

    The first of them flips nothing.
    """
    if n_clusters <= ALL_FLIPS_UP_TO:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n_clusters)))
    signs = np.random.default_rng(seed).choice([1.0, -1.0], size=(draws, n_clusters))
    signs[0] = 1.0  # the observed signs are one of the possible flips, so p is never 0
    return signs


def paired_by_exchange(
    observed: float, difference: Callable[[Float64s, Float64s], Float64s], n: int, n_clusters: int
) -> Paired:
    """Return the difference of two figures that are pooled over clusters, with its interval and p.

    difference: a function of `kept` and `exchanged`, (draws, n_clusters) each, that returns the differences (draws,) in
    which each cluster counts `kept` times unchanged and `exchanged` times with the two methods exchanged. n: the number
    of samples. For the interval, clusters are resampled and pooled again; for p, the methods are exchanged within
    clusters. With fewer than two clusters, p is None.
    """
    drawn = np.zeros(0)
    if n_clusters:
        draws = cluster_draws(n_clusters)
        drawn = difference(draws, np.zeros_like(draws))
    found = bootstrap_interval(observed, drawn, n, n_clusters)
    if n_clusters < 2:
        return Paired(found, None)
    kept = (1 + sign_flips(n_clusters)) / 2
    exchanged = np.abs(difference(kept, 1 - kept))
    # Because of the tolerance, exchanges whose difference equals the observed one except for rounding count, too.
    p = float(np.mean(exchanged >= abs(observed) - 1e-9))
    return Paired(found, p, p_least=smallest_p(n_clusters))


def _flip(differences: Sequence[float], clusters: Sequence[str], seed: int, draws: int) -> float | None:
    """Return p: the share of sign flips, cluster by cluster, whose sum is no closer to 0 than the observed sum."""
    if len(set(clusters)) < 2:
        return None
    sums, _ = cluster_sums(np.asarray(differences, float), clusters)
    signs = sign_flips(len(sums), seed, draws)
    # Because of the tolerance, flips whose sum equals the observed one except for rounding count, too.
    least = abs(sums.sum()) - 1e-9 * np.abs(sums).sum()
    return float(np.mean(np.abs(signs @ sums) >= least))


def paired_all(
    values: Mapping[str, Mapping[str, float]], cluster_of: Mapping[str, str]
) -> dict[tuple[str, str], Paired]:
    """Return the comparisons of all pairs of methods, in order, with p adjusted over all pairs by Holm's method.

    values: for each method, its value in each cell.
    """
    return corrected({(a, b): paired(values[a], values[b], cluster_of) for a, b in itertools.combinations(values, 2)})


def corrected(pairs: Mapping[Key, Paired]) -> dict[Key, Paired]:
    """Return comparisons with p adjusted over all of them by Holm's method, and with the smallest possible adjusted p.

    If p-values grow, Holm's adjusted p-values never fall. Correcting the smallest possible p-values therefore gives the
    smallest possible adjusted p.
    """
    tested = {key: found for key, found in pairs.items() if found.p is not None and found.p_least is not None}
    adjusted = dict(zip(tested, holm([found.p or 0.0 for found in tested.values()]), strict=True))
    least = dict(zip(tested, holm([found.p_least or 0.0 for found in tested.values()]), strict=True))
    return {
        key: dataclasses.replace(found, p_adjusted=adjusted.get(key), p_least=least.get(key))
        for key, found in pairs.items()
    }


def why_untestable(pairs: Sequence[Paired], corrected_for: int, alpha: float = ALPHA) -> str:
    """Return why no test could tell the methods of any pair apart, or "" if one could.

    corrected_for: the number of pairs for which the tests are corrected.
    """
    if not pairs or any(found.testable(alpha) for found in pairs):
        return ""
    best = min(pairs, key=lambda found: 2.0 if found.p_least is None else found.p_least)
    if best.p_least is None:
        return UNTESTED
    among = plural(corrected_for, "pair")
    return f"{best.difference.n_clusters} drivers, {among}: p cannot go below {best.p_least:.{P_DECIMALS}f}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's method (1979), in the given order; compare each directly with alpha."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def tied_groups(
    order: Sequence[str], pairs: Mapping[tuple[str, str], Paired], alpha: float = ALPHA
) -> dict[str, tuple[int, ...]]:
    """Return each method's groups, numbered from 1: two methods share a group if and only if no test separates them.

    order: the methods, the best first. Groups are numbered in the order of their best members. A method may be in
    several groups: if A and B are tied, and B and C, but not A and C, then A is in group 1, B in 1 and 2, and C in 2. A
    pair that was not tested counts as tied. The groups are the largest sets without a pair that differs (the letters of
    Piepho 2004).
    """
    groups = [frozenset(order)]
    for a, b in itertools.combinations(order, 2):
        found = pairs.get((a, b)) or pairs.get((b, a))
        if found is None or not found.told_apart(alpha):
            continue
        split = {part for g in groups for part in ((g - {a}, g - {b}) if {a, b} <= g else (g,))}
        groups = [g for g in split if not any(g < other for other in split)]
    place = {method: i for i, method in enumerate(order)}
    ranked = sorted(groups, key=lambda g: sorted(place[method] for method in g))
    return {method: tuple(i for i, group in enumerate(ranked, 1) if method in group) for method in order}


@dataclass(frozen=True)
class Icc:
    """Intraclass correlations (Shrout & Fleiss 1979) of `n_items` items, each rated by all of `n_raters` raters.

    icc21: absolute agreement of a single rater, with raters sampled at random. icc31: consistency of a single rater (it
    is not lowered by a rater who is always one point stricter). icc3k: consistency of the mean of these raters. A
    correlation that is undefined is None, with a `reason`.
    """

    icc21: float | None
    icc31: float | None
    icc3k: float | None
    n_items: int
    n_raters: int
    reason: str = ""


def icc(ratings: npt.ArrayLike) -> Icc:
    """Return the intraclass correlations of ratings (items, raters); items with a missing rating (NaN) are left out."""
    x = np.asarray(ratings, float)
    x = x[~np.isnan(x).any(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2:
        return Icc(None, None, None, n, k, "fewer than two items rated by two raters")
    items = k * x.mean(1).var(ddof=1)
    raters = n * x.mean(0).var(ddof=1)
    rest = ((x - x.mean(1, keepdims=True) - x.mean(0) + x.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    if np.isclose(items, 0) and np.isclose(rest, 0):
        return Icc(None, None, None, n, k, "all items are rated alike")
    icc21 = (items - rest) / (items + (k - 1) * rest + k * (raters - rest) / n)
    icc31 = (items - rest) / (items + (k - 1) * rest)
    icc3k = None if np.isclose(items, 0) else float((items - rest) / items)
    return Icc(float(icc21), float(icc31), icc3k, n, k)


def krippendorff_alpha(ratings: npt.ArrayLike, level: Literal["ordinal", "interval"] = "ordinal") -> float | None:
    """Return Krippendorff's alpha of ratings (items, raters) on an ordinal or interval scale; missing ratings are NaN.

    1 is full agreement and 0 is chance agreement. Return None if there are fewer than two different values or no item
    has two ratings.
    """
    import krippendorff

    x = np.asarray(ratings, float)
    paired_up = x[(~np.isnan(x)).sum(axis=1) >= 2] if x.ndim == 2 else x[:0]
    if not paired_up.size or len(np.unique(paired_up[~np.isnan(paired_up)])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=paired_up.T, level_of_measurement=level))
