"""Random draws that do not depend on how a batch is divided: every sample has its own generators.

A batch of eight yields the same eight samples in one process, in two processes of four, or in two parts of four that
one process handles in turn.
"""

from __future__ import annotations

from typing import cast

import numpy as np


def generator(first: int, *key: int) -> np.random.Generator:
    """Return the random generator for a part of a batch.

    key: numbers that identify the batch. first: the position of the part's first sample in the batch.
    """
    return np.random.default_rng(np.random.SeedSequence(key, spawn_key=(first,)))


def each(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return a random generator for each of the `count` samples in the part of a batch for which `rng` was made.

    Call this once per part: the result does not depend on what `rng` has drawn before. If `rng` was not made by
    `generator`, the part is taken to be a whole batch.
    """
    own = cast(np.random.SeedSequence, rng.bit_generator.seed_seq)
    first = own.spawn_key[0] if own.spawn_key else 0
    samples = range(first, first + count)
    return [np.random.default_rng(np.random.SeedSequence(own.entropy, spawn_key=(index, 0))) for index in samples]
