"""Head motion, as the similarity transform that explains the flow on the stable part of a face.

A point (x, y) is written as the complex number x + iy. A similarity is then z -> z + c z + t with complex c and t.
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import SIZE
from megbench.faces.regions import Mask

ROUNDS = 4
STEP = 4
FEWEST = 8
Complex = npt.NDArray[np.complex128]


def fit_head(flow: Float32s, stable: Mask) -> Float32s:
    """Return the similarity (2, 3) float32 that maps pixels of the first frame to where head motion has moved them.

    flow: (256, 256, 2). stable: the reliable pixels, of which every fourth in x and y is used. With fewer than 8
    pixels, the result is the identity.
    """
    at = stable_points(stable)
    return np.asarray(similarities(*fit_heads(pixels()[at], flow[at][None]))[0], np.float32)


def fit_heads(points: Complex, motions: Float32s) -> tuple[Complex, Complex]:
    """Return the head's motion in every frame, c and t, each (T,), from the `motions` (T, N, 2) of points (N,).

    It is fitted in four rounds of reweighted least squares: the weights are first 1, then 1 / (1 + (r/s)^2), where r is
    the residual length and s = 1.4826 median(r) + 0.02 px. With fewer than 8 points, the motion is zero.
    """
    motion = as_complex(motions)
    turn = shift = np.zeros((len(motion), 1), np.complex128)
    if len(points) < FEWEST:
        return turn[:, 0], shift[:, 0]
    weights = np.ones(motion.shape)
    for _ in range(ROUNDS):
        share = weights / weights.sum(1, keepdims=True)
        centre, mean = share @ points, np.einsum("tn,tn->t", share, motion)
        offsets = points - centre[:, None]
        moment = np.einsum("tn,tn->t", share, offsets.real**2 + offsets.imag**2)
        turn = (np.einsum("tn,tn,tn->t", share, offsets.conj(), motion) / moment)[:, None]
        shift = mean[:, None] - turn * centre[:, None]
        residual = np.abs(motion - turn * points - shift)
        scale = 1.4826 * np.median(residual, axis=1, keepdims=True) + 0.02
        weights = 1 / (1 + (residual / scale) ** 2)
    return turn[:, 0], shift[:, 0]


def similarities(turn: Complex, shift: Complex) -> Float32s:
    """Return the similarities given by c and t, each (T,), as matrices (T, 2, 3) float32."""
    rows = [[1 + turn.real, -turn.imag, shift.real], [turn.imag, 1 + turn.real, shift.imag]]
    return np.moveaxis(np.array(rows, np.float32), -1, 0)


def head_flow(head: Float32s) -> Float32s:
    """Return the flow (256, 256, 2) float32 of a similarity (2, 3)."""
    grid = pixel_grid()
    return np.asarray(cv2.transform(grid, head) - grid, np.float32)


def stable_points(stable: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the rows and columns of the stable pixels from which the head's motion is estimated."""
    rows, columns = np.nonzero(stable & _every_fourth())
    return rows, columns


def pixels() -> Complex:
    """Return the positions of all pixels as complex numbers (256, 256)."""
    return as_complex(pixel_grid())


def as_complex(vectors: npt.NDArray[np.floating]) -> Complex:
    """Return vectors (..., 2) as complex numbers (...)."""
    return np.asarray(np.ascontiguousarray(vectors, np.float64).view(np.complex128)[..., 0])


@functools.cache
def _every_fourth() -> Mask:
    lattice = np.zeros((SIZE, SIZE), bool)
    lattice[::STEP, ::STEP] = True
    return lattice
