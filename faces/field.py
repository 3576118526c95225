"""Dense displacement fields: interpolation from mesh vertices, inversion, Jacobian determinant, warping.

A field is float32 (H, W, 2), x then y, in pixels. A forward field f takes x to x + f(x); with a backward field g, the
pixel y of the result is taken from y + g(y).
"""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import pixel_grid
from megbench.core.frames import SIZE
from megbench.core.spline import Spline, as_type
from megbench.faces.mesh import IRIS_CENTRES, IRISES, OVAL, Points

Field = npt.NDArray[np.float32]
Plane = npt.NDArray[np.float32]
Planes = list[Plane]

# Rings around the face oval (size, share of the oval's motion), in which the face's motion fades out into hair and
# neck.
RINGS = ((1.18, 0.45), (1.45, 0.08), (1.8, 0.0))
# The blur of the interpolated field, in pixels. Without it, the creases between triangles fold: over all action units
# at intensity 1, the smallest Jacobian determinant is -.55; with it, .44.
BLUR = 2.0
# Inversion stops when an iteration changes the field by less than this many pixels.
SETTLED = 0.001
# Iterations that leave an error of more than this many pixels may diverge.
UNSETTLED = 0.01
# The longest step of Newton's method, in pixels: less than BLUR, over which a field's slope changes.
STRIDE = 1.2


class MeshField:
    """A map from displacements of mesh vertices to dense fields for a `size` x `size` picture.

    The vertices are triangulated once (Delaunay over the face, three rings around it and a distant fixed border). After
    that, computing a field takes one sparse product. The map is linear in the displacements.
    """

    def __init__(self, vertices: Points, size: int = SIZE) -> None:
        self.size = size
        centre = vertices[OVAL].mean(0)
        rings = [centre + (vertices[OVAL] - centre) * ratio for ratio, _ in RINGS]
        steps = np.linspace(-size / 2, 1.5 * size, 9)
        border = np.array([(x, y) for x in steps for y in steps if x in steps[[0, -1]] or y in steps[[0, -1]]])
        self.nodes = np.vstack([vertices[: IRISES.start], vertices[list(IRIS_CENTRES)], *rings, border])
        self._fixed = len(border)
        self._weights = self._interpolation()

    def _interpolation(self) -> Any:
        """Return the barycentric weights, sparse (pixels, nodes)."""
        mesh = scipy.spatial.Delaunay(self.nodes)
        pixels = pixel_grid(self.size).reshape(-1, 2).astype(np.float64)
        simplex = mesh.find_simplex(pixels, tol=1e-9)
        transform = mesh.transform[simplex]  # (N, 3, 2): two rows of the affine map, then the origin
        first = np.einsum("nij,nj->ni", transform[:, :2], pixels - transform[:, 2])
        weights = np.c_[first, 1 - first.sum(1)].astype(np.float32)
        rows = np.repeat(np.arange(len(pixels)), 3)
        columns = mesh.simplices[simplex].ravel()
        return scipy.sparse.csr_matrix((weights.ravel(), (rows, columns)), shape=(len(pixels), len(self.nodes)))

    def dense(self, displacements: Points, blur: float = BLUR) -> Field:
        """Return the forward field (size, size, 2) of displacements (478, 2) in pixels, blurred by a Gaussian of
        standard deviation `blur` pixels."""
        nodes = np.concatenate(
            [
                displacements[: IRISES.start],
                displacements[list(IRIS_CENTRES)],
                *(displacements[OVAL] * share for _, share in RINGS),
                np.zeros((self._fixed, 2)),
            ]
        )
        field = (self._weights @ nodes.astype(np.float32)).reshape(self.size, self.size, 2)
        return np.asarray(cv2.GaussianBlur(field, (0, 0), blur) if blur else field, np.float32)


def sample(field: npt.NDArray[Any], points: Points | Field) -> npt.NDArray[Any]:
    """Return linearly interpolated values (..., C) of a field or picture (H, W, C) at points (N, 2) or (H, W, 2).

    The border is repeated.
    """
    at = points if points.ndim == 3 else points[:, None]  # OpenCV requires a 2-D map, at most 32767 columns wide
    values = cv2.merge(_read(_planes(field), _planes(at)))
    return values if points.ndim == 3 else values[:, 0]


def invert(forward: Field, rounds: int = 6) -> Field:
    """Return the backward field of a forward field, g(y) = -f(y + g(y)), by fixed-point iteration.

    It is correct only where det J > 0. Iteration ends early when no pixel changes by SETTLED or more.
    """
    moves, grid = _planes(forward), _planes(pixel_grid(forward.shape[0]))
    backward = [-move for move in moves]
    for _ in range(rounds):
        before = backward
        there = [start + step for start, step in zip(grid, before, strict=True)]
        backward = [-move for move in _read(moves, there)]
        if max(map(_largest_change, before, backward)) < SETTLED:
            break
    return np.asarray(cv2.merge(backward), np.float32)


def invert_steep(forward: Field, rounds: int = 40) -> Field:
    """Return the backward field of a forward field that may stretch strongly, as it does where lips part.

    It is correct only where det J > 0. Fixed-point iteration diverges where a field stretches by more than 1 per pixel;
    pixels that have not converged are solved by Newton's method in steps of at most STRIDE pixels.
    """
    backward = invert(forward)
    grid = pixel_grid(forward.shape[0])
    unsettled = np.abs(backward + sample(forward, grid + backward)).max(-1) > UNSETTLED
    if not unsettled.any():
        return backward
    down, across = np.gradient(forward, axis=(0, 1))
    linear = np.concatenate([forward, across, down], axis=-1)
    goal = grid[unsettled]
    at = goal + np.clip(backward[unsettled], -SIZE / 8, SIZE / 8)
    todo = np.arange(len(at))
    for _ in range(rounds):
        found = sample(linear, at[todo]) if len(todo) else np.zeros((0, 6), np.float32)
        miss = goal[todo] - at[todo] - found[:, :2]
        open_ = np.abs(miss).max(-1, initial=0) > SETTLED
        todo, miss, found = todo[open_], miss[open_], found[open_]
        if not len(todo):
            break
        (a, c), (b, d) = (found[:, 2:4] + [1, 0]).T, (found[:, 4:6] + [0, 1]).T
        step = np.c_[d * miss[:, 0] - b * miss[:, 1], a * miss[:, 1] - c * miss[:, 0]] / (a * d - b * c)[:, None]
        at[todo] += np.clip(step, -STRIDE, STRIDE)
    backward[unsettled] = at - goal
    return backward


def _planes(field: npt.NDArray[Any]) -> Planes:
    return [np.asarray(plane, np.float32) for plane in cv2.split(np.asarray(field, np.float32))]


def _read(planes: Planes, at: Planes) -> Planes:
    """Return planes (H, W) sampled linearly at columns and rows (h, w).

    Each plane is sampled separately: for two-channel images, OpenCV 5 samples at only 32 positions per pixel
    (findings/remap_two_channels.sh).
    """
    x, y = at
    edge = cv2.BORDER_REPLICATE
    return [np.asarray(cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=edge), np.float32) for plane in planes]


def _largest_change(before: Plane, after: Plane) -> float:
    return float(cv2.norm(before, after, cv2.NORM_INF))


def jacobian_determinant(field: Field) -> npt.NDArray[np.float32]:
    """Return the determinant of the Jacobian of x -> x + f(x) at every pixel (H, W); 0 or less is a fold."""
    du_dy, du_dx = np.gradient(field[..., 0])
    dv_dy, dv_dx = np.gradient(field[..., 1])
    return np.asarray((1 + du_dx) * (1 + dv_dy) - du_dy * dv_dx, np.float32)


def warp(image: npt.NDArray[Any], backward: Field) -> npt.NDArray[Any]:
    """Return a picture (H, H, C) resampled once, by a cubic B-spline, along a backward field of the same size.

    The dtype is kept. To warp the same picture many times, keep its Spline and sample that instead.
    """
    return as_type(Spline(image).at(pixel_grid(backward.shape[0]) + backward), image.dtype)


def similarity(scale: float, angle: float, shift: tuple[float, float], centre: Points) -> npt.NDArray[np.float32]:
    """Return a 2 x 3 matrix that scales and rotates (radians, x towards y) about `centre` and then shifts (pixels)."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.c_[turn, centre + np.asarray(shift) - turn @ centre].astype(np.float32)
