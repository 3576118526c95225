"""Intervals for raters' answers about outputs, where answers by one rater or about one driver are correlated.

The covariance is clustered both ways (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"):
the covariance clustered by rater, plus that clustered by driver, minus that clustered by rater and driver together. A
bootstrap that draws raters and drivers is no substitute, because it counts the noise of individual answers three times
(Owen 2007, "The pigeonhole bootstrap").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from megbench.core.statistics import FEWEST_CLUSTERS, LEVEL, Float64s, Interval

FEW = "fewer than five raters or drivers: no interval"
ALIKE = "all answers are alike: no interval"


@dataclass(frozen=True)
class TwoWay:
    """Covariances (P, P) of P parameters, clustered by rater, by driver and by both at once."""

    by_rater: Float64s
    by_driver: Float64s
    by_both: Float64s
    n_raters: int
    n_drivers: int

    def variance(self, contrast: Float64s) -> float:
        """Return the variance of a contrast (P,) of the parameters.

        By chance, the combined estimate can be lower than that of one clustering alone. The larger is then returned.
        """
        rater, driver = self._each_way(contrast)
        return max(rater + driver - float(contrast @ self.by_both @ contrast), rater, driver)

    def reach(self, contrast: Float64s, level: float = LEVEL) -> float | None:
        """Return the half-width of an interval in standard errors, by Student's t.

        Return None with fewer than five raters or drivers. The degrees of freedom are Satterthwaite's (1946) for the
        sum of both variances: the number of raters minus one if raters differ most, the number of drivers minus one if
        drivers differ most, and more if neither dominates.
        """
        from scipy import stats  # takes a second to import

        if min(self.n_raters, self.n_drivers) < FEWEST_CLUSTERS:
            return None
        rater, driver = self._each_way(contrast)
        spread = rater**2 / (self.n_raters - 1) + driver**2 / (self.n_drivers - 1)
        return float(stats.t.ppf((1 + level) / 2, (rater + driver) ** 2 / spread)) if spread > 0 else 0.0

    def _each_way(self, contrast: Float64s) -> tuple[float, float]:
        return float(contrast @ self.by_rater @ contrast), float(contrast @ self.by_driver @ contrast)


def two_way(influences: Float64s, raters: Sequence[str], drivers: Sequence[str]) -> TwoWay:
    """Return the covariances of parameters from the influence (N, P) of each answer, which has a rater and a driver."""
    both = [f"{rater}\n{driver}" for rater, driver in zip(raters, drivers, strict=True)]
    by_rater, by_driver, by_both = (_clustered(influences, names) for names in (raters, drivers, both))
    return TwoWay(by_rater, by_driver, by_both, len(set(raters)), len(set(drivers)))


def _clustered(influences: Float64s, clusters: Sequence[str]) -> Float64s:
    """Return the covariance (P, P) from influences summed by cluster, with the factor G / (G - 1)."""
    _, member = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    sums = np.zeros((count, influences.shape[1]))
    np.add.at(sums, member, influences)
    return (sums.T @ sums) * (count / (count - 1) if count > 1 else 1.0)


def share_interval(
    values: Sequence[float], raters: Sequence[str], drivers: Sequence[str], level: float = LEVEL, none: str = ""
) -> Interval:
    """Return the mean of values between 0 and 1 with its interval; `none` states why there are no values.

    The interval is Wilson's (1927) for the number of independent answers that would have the clustered variance, so it
    stays between 0 and 1. If all values are alike, that variance is unknown and there is no interval.
    """
    x = np.asarray(values, float)
    if not x.size:
        return Interval(None, None, None, 0, 0, level, none)
    share = float(x.mean())
    found = two_way((x - share)[:, None] / len(x), raters, drivers)
    variance, t = found.variance(np.ones(1)), found.reach(np.ones(1), level)
    clusters = min(found.n_raters, found.n_drivers)
    if t is None or variance <= 0 or not 0 < share < 1:
        return Interval(share, None, None, len(x), clusters, level, FEW if t is None else ALIKE)
    shrink = t**2 * variance / (share * (1 - share))  # t^2 / effective number of answers
    centre = (share + shrink / 2) / (1 + shrink)
    half = np.sqrt(shrink * share * (1 - share) + shrink**2 / 4) / (1 + shrink)
    return Interval(share, float(centre - half), float(centre + half), len(x), clusters, level)
