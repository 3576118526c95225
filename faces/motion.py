"""Facial motion of a clip: how each region moves once the head's motion is removed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import SIZE
from megbench.faces.field import sample
from megbench.faces.head import Complex, as_complex, fit_heads, pixels, similarities, stable_points
from megbench.faces.landmarks import Points
from megbench.faces.regions import face_regions

Float64s = npt.NDArray[np.float64]

# Landmarks of brows, nose, eyes and mouth; the jaw line is left out.
INNER = slice(17, 68)
# The blur of the regions' edges for strain, in eye distances. Without it, the strain in the small regions (mouth
# corners and lids) depends on only a few pixels. An output with a quarter of the motion then agrees less with the
# driver than one with all of it.
SOFT = 0.125
# The number of blocks along each side of the coarse field; a block has 8 x 8 pixels.
BLOCKS = 32


@dataclass(frozen=True)
class FacialMotion:
    """Motion from frame 0 to each of the T frames; lengths are in eye distances, so that faces are comparable.

    trajectory: (T, 12, 2) float32, the mean residual flow x, y of each region, in the order of
        megbench.faces.regions.REGIONS. It is NaN for a region outside the picture.
    strain: (T, 12, 3) float32, the mean strain of each region: xx, yy, and xy times the square root of 2. The length of
        this vector, sqrt(ux^2 + vy^2 + (uy + vx)^2 / 2), is known in recognition as optical strain. Strain is
        dimensionless, and NaN wherever the trajectory is NaN.
    head: (T, 2, 3) float32, the similarity transform in pixels.
    rigid: (T,) float32, the mean length of the head's motion over the face.
    inner_peak: (51,) float32, the largest residual motion of each inner landmark.
    eye_distance: in pixels.
    field: (T, 32, 32, 2) float16, the mean residual flow x, y of each 8 x 8 block in pixels, zero outside the face. It
        is only displayed, not used in scores.
    """

    trajectory: Float32s
    strain: Float32s
    head: Float32s
    rigid: Float32s
    inner_peak: Float32s
    eye_distance: float
    field: npt.NDArray[np.float16]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return all fields as arrays, for storage."""
        return {name: np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> FacialMotion:
        """Return the motion described by arrays in the form that `arrays` returns."""
        found: dict[str, Any] = {**arrays, "eye_distance": float(arrays["eye_distance"])}
        return cls(**found)


def facial_motion(flow: Callable[[int], Float32s], n_frames: int, points: Points) -> FacialMotion:
    """Return the facial motion of a clip.

    flow(k) is the clip's dense flow from frame 0 to frame k. points: the landmarks of frame 0, (68, 2). All
    measurements are linear in the flow, so the head's motion is subtracted from them instead of from the flow.
    """
    regions = face_regions(points)
    means, stable = mean_over(regions.masks), stable_points(regions.stable)
    slopes = slopes_over(regions.masks, SOFT * regions.eye_distance)
    samples = np.zeros((n_frames, len(stable[0]), 2), np.float32)
    trajectory = np.zeros((n_frames, len(regions.masks), 2), np.float64)
    strain = np.zeros((n_frames, len(regions.masks), 3), np.float64)
    inner = np.zeros((n_frames, INNER.stop - INNER.start, 2), np.float32)
    blocks = np.zeros((n_frames, BLOCKS, BLOCKS, 2), np.float32)
    for k in range(n_frames):
        dense = flow(k)
        samples[k] = dense[stable]
        planes = [plane.ravel() for plane in cv2.split(dense)]
        trajectory[k] = np.stack([means @ plane for plane in planes], -1)
        strain[k] = _strain(*(slope @ plane for plane in planes for slope in slopes))
        inner[k] = sample(dense, points[INNER])
        blocks[k] = _coarse(dense)
    lost = ~regions.masks.any((1, 2))
    trajectory[:, lost] = strain[:, lost] = np.nan
    turn, shift = fit_heads(pixels()[stable], samples)
    strain[..., :2] -= turn.real[:, None, None]  # a head that approaches the camera strains the whole face uniformly

    def residual(read: npt.NDArray[np.floating], at: Complex) -> Float32s:
        """Return measurements (T, ..., 2) at points (...) minus the head's motion there."""
        still = (-1,) + (1,) * at.ndim
        moved = turn.reshape(still) * at + shift.reshape(still)
        return np.asarray(read - np.stack([moved.real, moved.imag], -1), np.float32)

    d = regions.eye_distance
    step = SIZE // BLOCKS
    centres = as_complex(step * pixel_grid(BLOCKS) + (step - 1) / 2)
    share = _coarse(regions.face.astype(np.float32))[..., None]
    face = pixels()[regions.face]
    rigid = [np.abs(c * face + t).mean() for c, t in zip(turn, shift, strict=True)]
    return FacialMotion(
        trajectory=residual(trajectory, means @ pixels().ravel()) / np.float32(d),
        strain=strain.astype(np.float32),
        head=similarities(turn, shift),
        rigid=np.asarray(rigid, np.float32) / np.float32(d),
        inner_peak=np.linalg.norm(residual(inner, as_complex(points[INNER])), axis=2).max(0) / np.float32(d),
        eye_distance=d,
        field=(residual(blocks, centres) * share).astype(np.float16),
    )


def mean_over(masks: npt.NDArray[np.bool_]) -> Any:
    """Return a sparse matrix (R, H W) that maps a picture (H W, ...) to its means over masks (R, H, W); 0 if empty."""
    flat = masks.reshape(len(masks), -1)
    rows, columns = np.nonzero(flat)
    return scipy.sparse.csr_matrix(((1 / flat.sum(1).clip(1))[rows], (rows, columns)), shape=flat.shape)


def slopes_over(masks: npt.NDArray[np.bool_], soft: float) -> tuple[Any, Any]:
    """Return sparse matrices (R, H W) that map a picture (H W) to its mean slopes in x and y over masks (R, H, W).

    Slopes are central differences, which cancel inside a mask, so that only pixels along the mask's edge count. The
    edge is therefore softened by a Gaussian of `soft` pixels. The picture's outermost pixels have no slope; the slope
    of an empty mask is 0.
    """
    share = np.stack([cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft) for mask in masks])
    share[:, [0, -1]] = share[:, :, [0, -1]] = 0
    share /= 2 * np.maximum(share.sum((1, 2), keepdims=True), 1)
    flat = scipy.sparse.csr_matrix(share.reshape(len(masks), -1))

    def moved(by: int) -> Any:
        return scipy.sparse.csr_matrix((flat.data, flat.indices + by, flat.indptr), flat.shape)

    return moved(1) - moved(-1), moved(SIZE) - moved(-SIZE)


def _strain(ux: Float64s, uy: Float64s, vx: Float64s, vy: Float64s) -> Float64s:
    """Return strains (R, 3), as in FacialMotion, from slopes (R,)."""
    return np.stack([ux, vy, (uy + vx) / np.sqrt(2)], -1)


def _coarse(picture: Float32s) -> Float32s:
    """Return the means over blocks, (256, 256, ...) to (32, 32, ...)."""
    return np.asarray(cv2.resize(picture, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA), np.float32)
