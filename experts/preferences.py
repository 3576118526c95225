"""Strengths of methods from paired comparisons: the model of Bradley and Terry (1952) with Davidson's ties (1970).

For methods of strengths a and b (logarithms), the odds of "first better", "second better" and "no difference" are
exp(a) : exp(b) : v exp((a + b) / 2). The parameter v, which is larger the more answers are ties, is estimated together
with the strengths. A tie therefore pulls two strengths together rather than counting as an answer for either method.
Strengths sum to 0. If two strengths differ by 1, people who see a difference prefer the stronger method 2.7 times as
often as the weaker one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.core.statistics import LEVEL, Float64s, Interval
from megbench.experts.two_way import FEW, TwoWay, two_way

# A strength beyond this counts as infinite. exp(10) is about 20,000, and "once in 20,000 answers" cannot be told from
# "never".
FARTHEST = 10.0
STEPS = 100
UNBOUNDED = "no finite strength: some methods were never preferred to others"
UNCONNECTED = "no strength: the answers do not connect all methods"
NONE = "no answers"


@dataclass(frozen=True)
class Compared:
    """One answer about the methods with indices `first` and `second`: 1 if the first is better, -1 if the second is."""

    first: int
    second: int
    outcome: int
    rater: str
    driver: str


@dataclass(frozen=True)
class Strengths:
    """Strengths (K,) fitted to `n` answers, and their covariances; both are None if there is no fit, for `reason`."""

    values: Float64s | None
    covariance: TwoWay | None
    n: int
    reason: str = ""

    def of(self, method: int) -> Interval:
        """Return a method's strength with its interval."""
        return self._interval({method: 1.0})

    def difference(self, first: int, second: int) -> Interval:
        """Return how much stronger the first method is than the second, with its interval."""
        return self._interval({first: 1.0, second: -1.0})

    def _interval(self, weights: dict[int, float], level: float = LEVEL) -> Interval:
        if self.values is None or self.covariance is None:
            return Interval(None, None, None, self.n, 0, level, self.reason)
        contrast = np.zeros(len(self.values))
        contrast[list(weights)] = list(weights.values())
        value, t = float(contrast @ self.values), self.covariance.reach(contrast, level)
        clusters = min(self.covariance.n_raters, self.covariance.n_drivers)
        if t is None:
            return Interval(value, None, None, self.n, clusters, level, FEW)
        half = t * float(np.sqrt(self.covariance.variance(contrast)))
        return Interval(value, value - half, value + half, self.n, clusters, level)


def fit(answers: Sequence[Compared], methods: int) -> Strengths:
    """Return the strengths under which the answers are most likely. methods: the number of methods."""
    if not answers:
        return Strengths(None, None, 0, NONE)
    pairs = np.array([(answer.first, answer.second) for answer in answers])
    if not _connected(pairs, methods):
        return Strengths(None, None, len(answers), UNCONNECTED)
    outcomes = np.array([answer.outcome for answer in answers])
    # The likelihood depends only on how many answers have the same pair and the same outcome.
    kinds, kind_of, counts = np.unique(
        np.column_stack([pairs, outcomes]), axis=0, return_inverse=True, return_counts=True
    )
    found = most_likely(kinds, counts.astype(float), methods)
    if found is None:
        return Strengths(None, None, len(answers), UNBOUNDED)
    parameters, inverse = found
    slopes = _slopes(*_options(kinds, methods), parameters)
    influences = (slopes @ inverse)[kind_of.reshape(-1), :methods]
    covariance = two_way(influences, [a.rater for a in answers], [a.driver for a in answers])
    return Strengths(parameters[:methods], covariance, len(answers))


def most_likely(kinds: npt.NDArray[np.int_], counts: Float64s, methods: int) -> tuple[Float64s, Float64s] | None:
    """Return the maximum-likelihood parameters and the inverse of their information matrix; None if they are infinite.

    kinds: (N, 3), first method, second method, outcome. counts: (N,), the number of answers of each kind. The
    parameters are the strengths and, if any answer is a tie, log v.
    """
    options, taken = _options(kinds, methods)
    parameters = np.zeros(options.shape[2])
    for _ in range(STEPS):
        shares = _shares(options, parameters)
        slope = counts @ _slopes(options, taken, parameters)
        spread = options - (shares[:, :, None] * options).sum(1, keepdims=True)
        information = np.einsum("n,no,nop,noq->pq", counts, shares, spread, spread)
        # Equal shifts of all strengths change nothing: the pseudo-inverse leaves their sum at 0.
        inverse = np.linalg.pinv(information, hermitian=True)
        step = inverse @ slope
        parameters = parameters + step / max(1.0, float(np.abs(step).max()))
        if np.abs(parameters).max() > FARTHEST:
            return None
        if np.abs(step).max() < 1e-10:
            return parameters, inverse
    return None


def _connected(pairs: npt.NDArray[np.int_], methods: int) -> bool:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(methods, methods))
    return bool(connected_components(graph, directed=False, return_labels=False) == 1)


def _options(kinds: npt.NDArray[np.int_], methods: int) -> tuple[Float64s, npt.NDArray[np.int_]]:
    """Return the weights of each answer's options (N, 2 or 3, parameters), and the option taken (N,).

    Options are first, second and, if any answer is a tie, neither; the last parameter is then log v.
    """
    ties = bool((kinds[:, 2] == 0).any())
    options = np.zeros((len(kinds), 2 + ties, methods + ties))
    rows = np.arange(len(kinds))
    for option, sign in ((0, 0.5), (1, -0.5)):
        options[rows, option, kinds[:, 0]] = sign
        options[rows, option, kinds[:, 1]] = -sign
    if ties:
        options[:, 2, -1] = 1.0
    return options, np.select([kinds[:, 2] == 1, kinds[:, 2] == -1], [0, 1], 2)


def _shares(options: Float64s, parameters: Float64s) -> Float64s:
    """Return the probability of each option (N, options)."""
    odds = np.exp(options @ parameters)
    return np.asarray(odds / odds.sum(1, keepdims=True))


def _slopes(options: Float64s, taken: npt.NDArray[np.int_], parameters: Float64s) -> Float64s:
    """Return the gradient of each answer's log-likelihood (N, parameters)."""
    shares = _shares(options, parameters)
    return options[np.arange(len(options)), taken] - (shares[:, :, None] * options).sum(1)
