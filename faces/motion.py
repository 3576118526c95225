"""Facial motion of a clip: how each region moves once the head's own motion is taken out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from core.clip import Floats
from faces.field import sample
from faces.head import fit_head, head_flow
from faces.landmarks import Points
from faces.regions import FaceRegions, face_regions

# Landmarks of brows, nose, eyes and mouth; the jaw line is left out.
INNER = slice(17, 68)
# Blocks along a side of the coarse field: 8 x 8 pixels each.
BLOCKS = 32


@dataclass(frozen=True)
class Motion:
    """Motion from frame 0 to each of the T frames; lengths in units of the eye distance, so that faces compare.

    trajectory: (T, 12, 2) float32, mean residual flow x, y of each region (order of faces.regions.REGIONS); NaN for a
    region that lies outside the picture. head: (T, 2, 3) float32, similarity in pixels. rigid: (T,) float32, mean
    length of the head's motion over the face. inner_peak: (51,) float32, largest residual motion of each inner
    landmark. eye_distance: pixels. field: (T, 32, 32, 2) float16, mean residual flow x, y of each 8 x 8 block,
    zero outside the face, in pixels; for looking at, no score reads it.
    """

    trajectory: Floats
    head: Floats
    rigid: Floats
    inner_peak: Floats
    eye_distance: float
    field: npt.NDArray[np.float16]


def facial_motion(flow: Callable[[int], Floats], n_frames: int, points: Points) -> Motion:
    """Motion of a clip with landmarks `points` (68, 2) in frame 0; `flow(k)` is its dense flow from frame 0 to k."""
    regions = face_regions(points)
    heads = np.zeros((n_frames, 2, 3), np.float32)
    rigid = np.zeros(n_frames, np.float32)
    trajectory = np.zeros((n_frames, len(regions.masks), 2), np.float32)
    inner = np.zeros((n_frames, INNER.stop - INNER.start), np.float32)
    field = np.zeros((n_frames, BLOCKS, BLOCKS, 2), np.float16)
    share = _coarse(regions.face.astype(np.float32))[..., None]
    for k in range(n_frames):
        dense = flow(k)
        heads[k] = fit_head(dense, regions.stable)
        moved = head_flow(heads[k])
        rigid[k] = np.linalg.norm(moved[regions.face], axis=1).mean()
        residual = dense - moved
        trajectory[k] = region_means(residual, regions)
        inner[k] = np.linalg.norm(sample(residual, points[INNER]), axis=1)
        field[k] = _coarse(residual) * share
    d = regions.eye_distance
    return Motion(trajectory / np.float32(d), heads, rigid / np.float32(d), inner.max(0) / np.float32(d), d, field)


def _coarse(picture: Floats) -> Floats:
    """Means over blocks: (256, 256, ...) -> (32, 32, ...)."""
    return np.asarray(cv2.resize(picture, (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA), np.float32)


def region_means(field: Floats, regions: FaceRegions) -> Floats:
    """Mean of a field (256, 256, 2) over each region: (12, 2) float32, NaN where a region is empty."""
    means = [field[mask].mean(0, dtype=np.float64) if mask.any() else np.full(2, np.nan) for mask in regions.masks]
    return np.asarray(means, np.float32)
