"""Relative intensity of action units, estimated from a face's motion without weights or labels.

The flow from frame 0 is explained by the FACS basis on the fitted mesh and an unconstrained head motion. They are
fitted by least squares with robust weights, a ridge penalty and non-negative intensities. At an intensity of 1, the
vertex that moves farthest moves by 5 % of the eye distance. Values can therefore be compared between faces, but not
with the levels A to E of coders.

Validity: on rendered clips, in which each person has a different basis, the estimates follow the true intensities. On
recordings they are only indicative: the basis explains about half of real facial motion (R2 of .08 to .68 on MEGC2021's
drivers).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Float32s, pixel_grid
from megbench.faces import facs
from megbench.faces.facs import ACTION_UNITS
from megbench.faces.field import MeshField
from megbench.faces.landmarks import Points
from megbench.faces.mesh import fit_mesh
from megbench.faces.regions import face_regions

Intensities = npt.NDArray[np.float64]

# Units that flow cannot tell apart are estimated as one.
MERGED: dict[str, tuple[str, ...]] = {
    "AU14+20": ("AU14", "AU20"),
    "AU23+24": ("AU23", "AU24"),
    "AU25+26": ("AU25", "AU26"),
}
_ALONE = {unit: (unit,) for unit in ACTION_UNITS if not any(unit in members for members in MERGED.values())}
READ: dict[str, tuple[str, ...]] = dict(sorted({**_ALONE, **MERGED}.items()))
UNITS = tuple(READ)
# Lids move less than dense flow can resolve, so these units are reported separately.
LIDS = ("AU05", "AU07", "AU43")
# The noise level: with camera noise of sigma 2 on the still faces of eleven rendered people, 99 % of the values are
# below this one, and 95 % are below .027.
NOISE_FLOOR = 0.05
# Every third pixel of the face in x and y is used.
STEP = 3
RIDGE = 0.01
ROUNDS = 3
# The residual at which a pixel's weight has fallen to one half, as in megbench.faces.head: 1.4826 median + 0.02 px.
LEAST_SCALE = 0.02


def intensities(flow: Callable[[int], Float32s], n_frames: int, points: Points) -> Intensities:
    """Return intensities (T, K) of UNITS in every frame of a clip; they are exactly 0 if nothing moves.

    flow(k) is the clip's dense flow from frame 0 to k, (256, 256, 2) float32, in pixels. points: the landmarks of frame
    0, (68, 2).
    """
    reader = _reader(points.tobytes())
    motion = np.stack([flow(k)[reader.where] for k in range(n_frames)]).astype(np.float64)
    found = np.zeros((n_frames, len(UNITS)))
    moves = motion.any((1, 2))
    if moves.any():
        found[moves] = reader.read(motion[moves])
    return found


@functools.lru_cache(maxsize=2)  # many outputs begin with the same template; an entry takes 11 MB
def _reader(points: bytes) -> _Reader:
    return _Reader(np.frombuffer(points, np.float64).reshape(-1, 2))


class _Reader:
    """An estimator of intensities from the flow at the pixels `where` of a face that has landmarks `points` (68, 2) in
    frame 0."""

    def __init__(self, points: Points) -> None:
        face = fit_mesh(points)
        field = MeshField(face.vertices)
        self.where = _lattice(face_regions(points).face)
        moved = [field.dense(unit)[self.where] for unit in facs.in_pixels(face, _basis())]
        at = pixel_grid()[self.where].astype(np.float64)
        x, y = (at - at.mean(0)).T / face.eye_distance
        one, zero = np.ones_like(x), np.zeros_like(x)
        head = [np.column_stack(pair) for pair in ((x, y), (-y, x), (one, zero), (zero, one))]
        self._design = np.stack([*moved, *head], axis=-1).astype(np.float64)  # (N, 2, 18 + 4)
        self._n_units = len(moved)
        # Both coordinates of a pixel have the same weight, so its contribution to the normal equations can be computed
        # beforehand.
        pairs = np.einsum("nci,ncj->nij", self._design, self._design)
        self._products = pairs.reshape(len(pairs), -1)  # (N, 22 * 22)

    def read(self, motion: Intensities) -> Intensities:
        """Return intensities (T, K) of UNITS from motions (T, N, 2) of the pixels."""
        weights = np.ones(motion.shape[:2])
        for _ in range(ROUNDS):
            fitted = self._fit(motion, weights)
            miss = np.linalg.norm(motion - np.tensordot(fitted, self._design, (1, 2)), axis=2)
            scale = 1.4826 * np.median(miss, axis=1, keepdims=True) + LEAST_SCALE
            weights = 1 / (1 + (miss / scale) ** 2)
        places = [[ACTION_UNITS.index(unit) for unit in members] for members in READ.values()]
        return np.stack([fitted[:, place].sum(1) for place in places], axis=1)

    def _fit(self, motion: Intensities, weights: Intensities) -> Intensities:
        """Return weighted fits (T, 18 + 4): units are non-negative and have a ridge penalty; the head is unconstrained.

        The head is eliminated first (Schur complement). NNLS then solves the units' normal equations in the form of
        their Cholesky root.
        """
        k, every = self._n_units, self._design.shape[2]
        grams = (weights @ self._products).reshape(-1, every, every)
        rights = np.tensordot(weights[..., None] * motion, self._design, ((1, 2), (0, 1)))[..., None]
        heads = np.linalg.solve(grams[:, k:, k:], np.concatenate([grams[:, k:, :k], rights[:, k:]], axis=2))
        reduced = grams[:, :k, :k] - grams[:, :k, k:] @ heads[..., :k]
        targets = rights[:, :k] - grams[:, :k, k:] @ heads[..., k:]
        reduced += RIDGE / k * np.trace(reduced, axis1=1, axis2=2)[:, None, None] * np.eye(k)
        roots = np.linalg.cholesky(reduced)
        goals = np.linalg.solve(roots, targets)[..., 0]
        # With the full name, SciPy loads scipy.optimize only at this point; reading a finished run does not need it.
        units = np.stack([scipy.optimize.nnls(root.T, goal)[0] for root, goal in zip(roots, goals, strict=True)])
        return np.concatenate([units, (heads[..., k:] - heads[..., :k] @ units[..., None])[..., 0]], axis=1)


@functools.cache
def _basis() -> Points:
    return facs.basis()


def _lattice(face: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows and columns of every third pixel of a face."""
    every = np.zeros_like(face)
    every[::STEP, ::STEP] = True
    rows, columns = np.nonzero(face & every)
    return rows, columns
