"""Head motion: the similarity transform that explains the flow on the stable part of a face."""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from core.clip import Floats, pixel_grid
from core.frames import SIZE
from faces.regions import Mask

ROUNDS = 4
STEP = 4


def fit_head(flow: Floats, stable: Mask) -> Floats:
    """Similarity (2, 3) float32 taking pixels of the first frame to where the head carried them.

    flow: (256, 256, 2). stable: the pixels to trust; every fourth one in x and y is read. Four rounds of reweighted
    least squares about their centroid: weights 1, then 1 / (1 + (r/s)^2) with r the residual length and
    s = 1.4826 median(r) + 0.02 px. With fewer than 8 pixels: no motion.
    """
    points, motion = _samples(flow, stable)
    if len(points) < 8:
        return np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    centre = points.mean(0)
    offsets = points - centre  # (N, 2)
    weights = np.ones(len(points))
    fitted = np.zeros(4)
    for _ in range(ROUNDS):
        fitted = _weighted_fit(offsets, motion, weights)
        residual = np.linalg.norm(motion - _similar(offsets, fitted), axis=1)
        scale = 1.4826 * np.median(residual) + 0.02
        weights = 1 / (1 + (residual / scale) ** 2)
    a, b = fitted[:2]
    linear = np.array([[1 + a, -b], [b, 1 + a]])
    shift = centre + fitted[2:] - linear @ centre
    return np.column_stack([linear, shift]).astype(np.float32)


def head_flow(head: Floats) -> Floats:
    """Flow (256, 256, 2) float32 of a similarity (2, 3)."""
    grid = pixel_grid()
    return np.asarray(cv2.transform(grid, head) - grid, np.float32)


def _samples(flow: Floats, stable: Mask) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Points (N, 2) and their motion (N, 2)."""
    rows, columns = np.nonzero(stable & _every_fourth())
    return np.column_stack([columns, rows]).astype(np.float64), flow[rows, columns].astype(np.float64)


@functools.cache
def _every_fourth() -> Mask:
    lattice = np.zeros((SIZE, SIZE), bool)
    lattice[::STEP, ::STEP] = True
    return lattice


def _weighted_fit(
    offsets: npt.NDArray[np.float64], motion: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Least squares for (a, b, tx, ty) in motion = (a x - b y + tx, b x + a y + ty)."""
    x, y = offsets.T
    one, zero = np.ones_like(x), np.zeros_like(x)
    design = np.concatenate([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])  # (2N, 4)
    root = np.sqrt(np.tile(weights, 2))
    return np.linalg.lstsq(design * root[:, None], motion.T.ravel() * root, rcond=None)[0]


def _similar(offsets: npt.NDArray[np.float64], fitted: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    a, b = fitted[:2]
    return np.asarray(offsets @ np.array([[a, b], [-b, a]]) + fitted[2:])
