"""The input to recognisers: the flow of an aligned face from onset to apex, as a small picture of u, v and strain.

The face is aligned with the mean face using its landmarks, head motion is subtracted, and lengths are in units of the
eye distance. Pictures of different faces are therefore comparable, and a faint expression remains faint.
"""

from __future__ import annotations

import functools

import numpy as np

from megbench.core.clip import Float32s, pixel_grid
from megbench.faces.field import sample
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.head import Complex, as_complex, fit_head, head_flow
from megbench.faces.landmarks import Grey, Points
from megbench.faces.mesh import OF_68, canonical
from megbench.faces.motion import INNER
from megbench.faces.regions import face_regions

# The number of pixels along a side of the picture, as published (Liong et al. 2019). Each pixel is the mean of FINE x
# FINE samples.
SIDE, FINE = 28, 4
CHANNELS = ("u", "v", "strain")
# The square of the mean face that the picture shows, in eye distances: its upper left corner, relative to the point
# between the eyes, and its side.
CORNER, EXTENT = (-1.2, -0.65), 2.4


def flow_picture(first: Grey, later: Grey, points: Points) -> Float32s:
    """Return u, v and strain (3, 28, 28) float32 for a face's motion from one frame to another.

    first, later: grey (256, 256) uint8. points: (68, 2), the landmarks of `first`. u and v are the motion to the right
    and down in the aligned face, in eye distances; strain is sqrt(u_x^2 + v_y^2 + (u_y + v_x)^2 / 2), which is
    dimensionless (Liong et al. 2019). All three are 0 outside the face, and 0 everywhere if the frames are equal.
    """
    regions = face_regions(points)
    flow = FlowFrom(first, box_around(regions.face))(later)
    if not flow.any():
        return np.zeros((len(CHANNELS), SIDE, SIDE), np.float32)
    facial = flow - head_flow(fit_head(flow, regions.stable))
    turn, shift = _on_mean_face(points)
    where = turn * _grid() + shift
    places = np.stack([where.real, where.imag], -1).astype(np.float32)
    # The flow is sampled in the directions of the picture and then rotated into those of the face.
    motion = as_complex(sample(facial, places)) * (np.conj(turn) / abs(turn)) / regions.eye_distance
    u, v = motion.real, motion.imag
    face = sample(regions.face.astype(np.float32), places)
    fine = np.stack([u, v, _strain(u, v)]) * face
    return np.asarray(fine.reshape(len(CHANNELS), SIDE, FINE, SIDE, FINE).mean((2, 4)), np.float32)


def stretched(pictures: Float32s) -> Float32s:
    """Return pictures (..., 28, 28) with each channel of each picture scaled to 0..1 by its own extremes, as published.

    A channel without any motion becomes 0. Amplitude is lost: the small motion caused by camera noise on a still face
    gets the full contrast of an expression.
    """
    low, high = pictures.min((-2, -1), keepdims=True), pictures.max((-2, -1), keepdims=True)
    span = high - low
    return np.divide(pictures - low, span, out=np.zeros_like(pictures), where=span > 0)


@functools.cache
def _grid() -> Complex:
    """Return the points (SIDE * FINE, SIDE * FINE) at which the mean face is sampled, in eye distances."""
    step = EXTENT / (SIDE * FINE)
    return np.asarray(as_complex((pixel_grid(SIDE * FINE) + 0.5) * step) + complex(*CORNER))


def _on_mean_face(points: Points) -> tuple[complex, complex]:
    """Return the similarity z -> turn z + shift that maps the mean face to the inner landmarks, in pixels."""
    mean, found = as_complex(canonical()[OF_68[INNER]]), as_complex(points[INNER])
    middle, centre = mean.mean(), found.mean()
    offsets = mean - middle
    turn = np.vdot(offsets, found - centre) / np.vdot(offsets, offsets)
    return complex(turn), complex(centre - turn * middle)


def _strain(u: Float32s, v: Float32s) -> Float32s:
    step = EXTENT / (SIDE * FINE)
    u_y, u_x = np.gradient(u, step)
    v_y, v_x = np.gradient(v, step)
    return np.asarray(np.sqrt(u_x**2 + v_y**2 + (u_y + v_x) ** 2 / 2), np.float32)
