"""The differences between two recognisers in UF1 and UAR on the same clips, resampled by person."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from megbench.core.confusion import Labels, uar, uf1
from megbench.core.statistics import LEVEL, Float64s, Interval, Paired, paired_by_exchange

FIGURES: dict[str, Callable[[npt.NDArray[np.number]], Float64s]] = {"uf1": uf1, "uar": uar}


def paired_recognition(
    true: Labels, first: Labels, second: Labels, n_classes: int, people: Sequence[str]
) -> dict[str, Paired]:
    """Return the differences, first minus second, in UF1 and UAR, over the clips for which both made a prediction.

    true: the classes of the clips, (N,). first, second: the predictions (S, N) of S seeds each; a negative one means
    "none". people: the person in each clip, (N,). Both scores are pooled over clips. For the intervals, people are
    resampled and the scores are pooled again. For p, the two recognisers' predictions are exchanged person by person.
    If the shared clips show fewer than two classes, the values are None, with a reason.
    """
    both = np.asarray((first >= 0).all(0) & (second >= 0).all(0))
    names = sorted({name for name, here in zip(people, both, strict=True) if here})
    n, number = int(both.sum()), len(names)
    if len(np.unique(true[both])) < 2:
        why = "the clips that both predicted show fewer than two classes" if n else "no clip was predicted by both"
        return dict.fromkeys(FIGURES, Paired(Interval(None, None, None, n, number, LEVEL, why), None))
    member = np.array([names.index(name) for name, here in zip(people, both, strict=True) if here], np.int64)
    a, b = (_by_person(true[both], said[:, both], n_classes, member, number) for said in (first, second))
    found = {}
    for name, score in FIGURES.items():
        observed = float(_mean(score, a.sum(0)) - _mean(score, b.sum(0)))
        found[name] = paired_by_exchange(observed, functools.partial(_differences, score, a, b), n, number)
    return found


def _by_person(true: Labels, said: Labels, n_classes: int, member: Labels, number: int) -> Float64s:
    """Return each person's confusion matrices, one per seed: (G, S, K, K)."""
    counts = np.zeros((number, len(said), n_classes, n_classes))
    for seed, answers in enumerate(said):
        np.add.at(counts[:, seed], (member, true, answers), 1)
    return counts


def _mean(score: Callable[[Float64s], Float64s], counts: Float64s) -> Float64s:
    """Return the mean over seeds of a score computed from matrices (..., S, K, K)."""
    return np.asarray(score(counts).mean(-1))


def _differences(
    score: Callable[[Float64s], Float64s], a: Float64s, b: Float64s, kept: Float64s, exchanged: Float64s
) -> Float64s:
    """Return the pooled differences (draws,) for resampled and exchanged predictions.

    Each person counts `kept` times with unchanged predictions and `exchanged` times with exchanged ones.
    """
    one, other = (np.tensordot(kept, x, 1) + np.tensordot(exchanged, y, 1) for x, y in ((a, b), (b, a)))
    return _mean(score, one) - _mean(score, other)
