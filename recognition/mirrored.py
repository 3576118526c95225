"""Augmentation at no cost: mirrored flow with slightly weaker or stronger motion."""

from __future__ import annotations

import numpy as np

from megbench.core.clip import Float32s
from megbench.recognition.samples import Labelled

# Amplitudes are drawn uniformly on a logarithmic scale between 1 / SPREAD and SPREAD.
SPREAD = 1.5


def mirrored(picture: Float32s) -> Float32s:
    """Return u, v and strain (3, 28, 28) of the mirrored face: motion to the right becomes motion to the left."""
    return np.asarray(picture[..., ::-1] * np.array([-1, 1, 1], np.float32)[:, None, None], np.float32)


def mirrored_and_scaled(data: Labelled, each: int = 1, seed: int = 0) -> Float32s:
    """Return `each` new pictures for every sample, (each * N, 3, 28, 28), mirrored or not, with varied amplitudes.

    The copies of one sample differ in amplitude. They are mirrored alternately, beginning with the first. The random
    numbers for a sample depend only on its name and the seed.
    """
    draws = [np.random.default_rng([seed, *sample.clip.encode()]).uniform(-1, 1, each) for sample in data.samples]
    scales = SPREAD ** np.array(draws, np.float64).reshape(-1, each)
    copies = [
        (mirrored(picture) if copy % 2 == 0 else picture) * np.float32(scales[place, copy])
        for copy in range(each)
        for place, picture in enumerate(data.pictures)
    ]
    return np.stack(copies)
