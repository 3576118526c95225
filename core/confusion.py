"""UF1 and UAR, pooled as in MEGC2019: computed from one confusion matrix over all folds and averaged over classes.

The rows of a matrix are the true classes, and its columns are the predicted classes. A class that no clip shows has no
recall and is left out of the means. Nothing is therefore divided by zero, and 0 never means "absent".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from megbench.core.statistics import LEVEL, Float64s, Interval, bootstrap_interval, cluster_draws

Labels = npt.NDArray[np.int64]
Counts = npt.NDArray[np.int64]
NOTHING = "no clip has a prediction"
ONE_CLASS = "all clips show the same class"


def confusion(true: Labels, answers: Labels, n_classes: int) -> Counts:
    """Return how often each class (row) received each prediction (column), without negative predictions: (K, K)."""
    given = answers >= 0
    flat = np.bincount(true[given] * n_classes + answers[given], minlength=n_classes**2)
    return np.asarray(flat.reshape(n_classes, n_classes), np.int64)


def f1_of_classes(counts: npt.NDArray[np.number]) -> Float64s:
    """Return the F1 of each class (..., K) from matrices (..., K, K); NaN for a class that no clip shows."""
    hits, shown, said = _sums(counts)
    return _share(2 * hits, shown + said, shown)


def recall_of_classes(counts: npt.NDArray[np.number]) -> Float64s:
    """Return the share of each class's clips that was recognised, (..., K); NaN for a class that no clip shows."""
    hits, shown, _ = _sums(counts)
    return _share(hits, shown, shown)


def uf1(counts: npt.NDArray[np.number]) -> Float64s:
    """Return the unweighted mean of F1 over the classes that clips show, (...); NaN if these are fewer than two."""
    return _mean(f1_of_classes(counts))


def uar(counts: npt.NDArray[np.number]) -> Float64s:
    """Return the unweighted mean of recall over the classes that clips show, (...); NaN if these are fewer than two."""
    return _mean(recall_of_classes(counts))


def constant(shown: npt.NDArray[np.number], answer: int) -> Float64s:
    """Return the confusion matrix of always predicting `answer`. shown: the number of clips of each class, (K,)."""
    counts = np.zeros((len(shown), len(shown)))
    counts[:, answer] = shown
    return counts


def by_chance(shown: npt.NDArray[np.number]) -> Float64s:
    """Return the expected confusion matrix of random predictions. shown: the number of clips of each class, (K,)."""
    return np.asarray(np.repeat(np.asarray(shown, float)[:, None] / len(shown), len(shown), axis=1))


@dataclass(frozen=True)
class Recognition:
    """Pooled UF1 and UAR of a set of predictions, averaged over seeds, with intervals.

    counts: the confusion matrix (K, K), summed over seeds. of_seeds: the UF1 of each seed.
    """

    uf1: Interval
    uar: Interval
    counts: Counts
    of_seeds: tuple[float, ...] = ()


def pooled_recognition(true: Labels, answers: Labels, n_classes: int, clusters: Sequence[str]) -> Recognition:
    """Return the UF1 and UAR of `answers` (S, N), the predictions of S seeds for N clips whose classes are `true` (N,).

    clusters: the driver or person of each clip, (N,). For the intervals, whole clusters are resampled, and resamples
    that lack a class are left out. A negative prediction means "none"; a clip counts only if all seeds made a
    prediction for it. If no clip or only one class remains, the values are None, with the reason.
    """
    given = np.asarray((answers >= 0).all(0))
    names = sorted({name for name, here in zip(clusters, given, strict=True) if here})
    apart = np.zeros((len(names), len(answers), n_classes, n_classes), np.int64)
    places = [names.index(name) for name, here in zip(clusters, given, strict=True) if here]
    for seed, said in enumerate(answers):
        np.add.at(apart[:, seed], (np.array(places, np.int64), true[given], said[given]), 1)
    counts, n = apart.sum(0), int(given.sum())
    if len(set(true[given].tolist())) < 2:
        absent = Interval(None, None, None, n, len(names), LEVEL, ONE_CLASS if n else NOTHING)
        return Recognition(absent, absent, counts.sum(0))
    drawn = np.tensordot(cluster_draws(len(names)), apart, axes=1)
    shown, still_shown = counts[0].sum(-1) > 0, drawn[:, 0].sum(-1) > 0
    drawn = drawn[still_shown[:, shown].all(1)]
    found = [
        bootstrap_interval(float(score(counts).mean()), score(drawn).mean(-1), n, len(names)) for score in (uf1, uar)
    ]
    return Recognition(found[0], found[1], counts.sum(0), tuple(map(float, uf1(counts))))


def _sums(counts: npt.NDArray[np.number]) -> tuple[Float64s, Float64s, Float64s]:
    """Return the numbers of hits, clips and predictions for each class."""
    values = np.asarray(counts, np.float64)
    return np.diagonal(values, axis1=-2, axis2=-1), values.sum(-1), values.sum(-2)


def _share(above: Float64s, below: Float64s, shown: Float64s) -> Float64s:
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=shown > 0)


def _mean(values: Float64s) -> Float64s:
    shown = np.isfinite(values)
    number = shown.sum(-1)
    total = np.where(shown, values, 0).sum(-1)
    return np.divide(total, number, out=np.full(number.shape, np.nan), where=number > 1)
