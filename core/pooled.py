"""Agreement pooled over cells from sums of products, for one set of cells or for many resamples of it at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]


def pooled(sums: Float64s) -> Float64s:
    """Return agreements (...), 0 if nothing moves. sums: (..., 3), <O,D>, |O|^2 and |D|^2, each summed over cells."""
    lengths = np.sqrt(sums[..., 1] * sums[..., 2])
    return np.divide(sums[..., 0], lengths, out=np.zeros_like(lengths), where=lengths > 0)
