"""Pairs of training clips and faces. Each driver moves another person's face; both are in the training set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from megbench.core.errors import BenchError
from megbench.recognition.folds import Flags, Folds
from megbench.recognition.samples import Labelled


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of drivers and templates.

    drivers, templates: (M,), indices of samples; a template is the onset of its sample. used: (F, M) bool, the pairs on
    which each fold is trained. None of them has the held-out person as its driver or its template.
    """

    drivers: np.ndarray
    templates: np.ndarray
    used: Flags


def pairs_of(data: Labelled, folds: Folds, each: int = 1, seed: int = 0) -> Pairs:
    """Return pairs that give every fold `each` templates per training clip, or fewer if there are too few people.

    For each clip, all other people are put into a random order seeded by the clip's name, and one clip of each of them
    is chosen. A fold uses the first people in that order whom it does not hold out. All folds therefore share their
    pairs, except for pairs with the face of a held-out person. No clip drives more than `each` + 1 templates. Raise
    BenchError if there are fewer than three people.
    """
    number = len(folds.people)
    if number < 3:
        raise BenchError(
            f"The clips show {number} people; measuring a gain requires at least three: one is held out, one drives,"
            " and one is the template. Pass more clips."
        )
    drivers, templates, rows = [], [], []
    for place, sample in enumerate(data.samples):
        rng = np.random.default_rng([seed, *sample.clip.encode()])
        mine = folds.fold_of[place]
        order = [group for group in rng.permutation(number).tolist() if group != mine][: each + 1]
        faces = [int(rng.choice(np.flatnonzero(folds.fold_of == group))) for group in order]
        for rank, (group, face) in enumerate(zip(order, faces, strict=True)):
            # The last person in the order replaces a person who is held out.
            used = np.array([fold not in (mine, group) and (rank < each or fold in order) for fold in range(number)])
            drivers.append(place)
            templates.append(face)
            rows.append(used)
    return Pairs(np.array(drivers, np.int64), np.array(templates, np.int64), np.stack(rows, axis=1))
