"""Relative intensity of action units, read off a face's motion: no weights, no labels.

The flow from frame 0 is explained by the FACS basis on the fitted mesh together with a free head motion: ridge-
regularised least squares with non-negative intensities, robustly weighted. An intensity of 1 is the basis' own (the
fastest vertex moves by 5 % of the eye distance), so figures compare between faces, not with a coder's A to E.

What it can claim: on rendered clips whose people have a basis of their own it follows the true intensities. On
recordings it is indicative only: the basis explains about half of real facial motion (facts: R2 .08 to .68).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

from core.clip import Floats, pixel_grid
from faces import facs
from faces.facs import ACTION_UNITS
from faces.field import MeshField
from faces.landmarks import Points
from faces.mesh import fit_mesh
from faces.regions import face_regions

Intensities = npt.NDArray[np.float64]

# Units whose motion flow cannot tell apart are read as one.
MERGED: dict[str, tuple[str, ...]] = {
    "AU14+20": ("AU14", "AU20"),
    "AU23+24": ("AU23", "AU24"),
    "AU25+26": ("AU25", "AU26"),
}
_ALONE = {unit: (unit,) for unit in ACTION_UNITS if not any(unit in members for members in MERGED.values())}
READ: dict[str, tuple[str, ...]] = dict(sorted({**_ALONE, **MERGED}.items()))
UNITS = tuple(READ)
# Lids move less than dense flow resolves: these are reported apart.
LIDS = ("AU05", "AU07", "AU43")
# Values up to here are what camera noise of sigma 2 on a still face gives (95 % of them are smaller).
NOISE_FLOOR = 0.05
# Every third pixel of the face in x and y is read.
STEP = 3
RIDGE = 0.01
ROUNDS = 3
# Residual at which a pixel's weight has fallen to one half, as with the head: 1.4826 median + 0.02 px.
LEAST_SCALE = 0.02


class FlowReader:
    """Reads intensities off flow from frame 0, for one face with landmarks `points` (68, 2) in frame 0."""

    def __init__(self, points: Points) -> None:
        face = fit_mesh(points)
        field = MeshField(face.vertices)
        self._where = _lattice(face_regions(points).face)
        rows, columns = self._where
        moved = [field.dense(unit) for unit in facs.in_pixels(face, facs.basis())]
        units = np.stack([unit[rows, columns].T.ravel() for unit in moved], axis=1).astype(np.float64)
        at = pixel_grid()[rows, columns].astype(np.float64)
        x, y = (at - at.mean(0)).T / face.eye_distance
        one, zero = np.ones_like(x), np.zeros_like(x)
        head = np.column_stack([np.r_[x, y], np.r_[-y, x], np.r_[one, zero], np.r_[zero, one]])
        self._design = np.concatenate([units, head], axis=1)  # (2 N, 18 + 4): all x, then all y
        self._n_units = units.shape[1]

    def read(self, flow: Floats) -> Intensities:
        """Intensities of UNITS (K,) in a flow (256, 256, 2) float32, pixels; exactly 0 where nothing moves."""
        motion = flow[self._where].astype(np.float64).T.ravel()
        if not motion.any():
            return np.zeros(len(UNITS))
        pixels = len(motion) // 2
        weights = np.ones(pixels)
        for _ in range(ROUNDS):
            fitted = self._fit(motion, np.tile(weights, 2))
            miss = np.linalg.norm((motion - self._design @ fitted).reshape(2, pixels), axis=0)
            scale = 1.4826 * np.median(miss) + LEAST_SCALE
            weights = 1 / (1 + (miss / scale) ** 2)
        alone = dict(zip(ACTION_UNITS, fitted, strict=False))
        return np.array([sum(alone[unit] for unit in members) for members in READ.values()])

    def _fit(self, motion: Intensities, weights: Intensities) -> Intensities:
        """Weighted fit (18 + 4,): units non-negative with a ridge, the head free.

        The head is eliminated first (Schur complement), then the units' normal equations go to NNLS by their root.
        """
        k = self._n_units
        weighted = self._design * weights[:, None]
        gram, right = weighted.T @ self._design, weighted.T @ motion
        head = np.linalg.solve(gram[k:, k:], np.c_[gram[k:, :k], right[k:]])
        reduced = gram[:k, :k] - gram[:k, k:] @ head[:, :k]
        target = right[:k] - gram[:k, k:] @ head[:, k]
        reduced += RIDGE * np.trace(reduced) / k * np.eye(k)
        root = np.linalg.cholesky(reduced)
        # By their full names: SciPy loads its parts when they are first used, and reading a finished run uses none.
        units, _ = scipy.optimize.nnls(root.T, scipy.linalg.solve_triangular(root, target, lower=True))
        return np.concatenate([units, head[:, k] - head[:, :k] @ units])


def intensities(flow: Callable[[int], Floats], n_frames: int, points: Points) -> Intensities:
    """Intensities (T, K) of UNITS in every frame of a clip; `flow(k)` is its dense flow from frame 0 to k."""
    reader = FlowReader(points)
    return np.stack([reader.read(flow(k)) for k in range(n_frames)])


def _lattice(face: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of every third pixel of a face."""
    every = np.zeros_like(face)
    every[::STEP, ::STEP] = True
    rows, columns = np.nonzero(face & every)
    return rows, columns
