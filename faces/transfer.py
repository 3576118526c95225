"""Transfer one face's motion to another: through the fitted meshes, in face units, with a single resampling.

This is the algorithm of `flow_warp`, the method that needs no training: the flow that head motion does not explain is
sampled at the mesh's vertices, smoothed over time, and applied to the same vertices of the other face.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy

from megbench.core.clip import Clip, Float32s, pixel_grid
from megbench.core.frames import SIZE, Frames, grey
from megbench.core.spline import Spline, as_type
from megbench.faces.features import SeenClip, one_at_a_time, seen_clip
from megbench.faces.field import MeshField, invert, jacobian_determinant, sample
from megbench.faces.flow import FlowFrom, box_around
from megbench.faces.head import fit_head, head_flow
from megbench.faces.landmarks import Points, landmarks
from megbench.faces.mesh import IRISES, VERTICES, FittedMesh, fit_mesh
from megbench.faces.regions import face_regions

# The blur of the vertices' motion over time, in frames.
TIME_BLUR = 1.0
# A gain that compensates for the part of an expression's motion that is lost in flow estimation, head removal and blur.
# With it, the strength relative to the exact motion of rendered truths is between .87 and 1.07 in the demo's 18 cells,
# and 1.00 on average.
GAIN = 1.165
# The smallest area to which a pixel may shrink. Micro-expressions stay above it, but erroneous flow (where teeth
# appear) does not.
LEAST_AREA = 0.15
AT_REST: Float32s = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class CarriedMotion:
    """The motion of a face in a form that can be applied to any other face.

    expression: (T, 478, 2) float64, displacements of the mesh vertices in face units, without head motion.
    head: (T, 2, 3) float64, the similarity that moves the head, in face units with the origin between the eyes.
    """

    expression: npt.NDArray[np.float64]
    head: npt.NDArray[np.float64]

    def from_rest(self) -> CarriedMotion:
        """Return the motion relative to its own frame 0, which is then at rest.

        Motions are subtracted rather than composed. Because they are small, this is accurate enough.
        """
        return CarriedMotion(self.expression - self.expression[0], self.head - self.head[0] + np.eye(2, 3))


@functools.lru_cache(maxsize=2)  # cells with the same driver are processed one after another
def lift_motion(driver: Clip) -> CarriedMotion:
    """Return a clip's motion, at rest in frame 0. Raise CellFailed if that frame shows no face.

    Worker processes measure it once for all rows: a second process waits and then finds the result in the store.
    """
    clip = seen_clip("driver", driver)
    with one_at_a_time(clip):
        return CarriedMotion(**clip.kept("carried motion", lambda: vars(_lifted(clip))))


def _lifted(clip: SeenClip) -> CarriedMotion:
    face = fit_mesh(clip.landmarks)
    stable = face_regions(clip.landmarks).stable
    follow = FlowFrom(clip.grey[0], box_around(face.vertices))  # the regions end below the mesh's forehead
    expression = np.zeros((len(clip.frames), VERTICES, 2))
    turns = np.zeros((len(clip.frames), 2, 3))
    for k, frame in enumerate(clip.grey):
        flow = follow(frame)
        head = fit_head(flow, stable)
        expression[k] = face.to_face_units(sample(flow - head_flow(head), face.vertices))
        turns[k] = _to_face_units(head, face)
    expression[:, IRISES] = 0
    smooth = (
        scipy.ndimage.gaussian_filter1d(track, TIME_BLUR, axis=0, mode="nearest")
        for track in (GAIN * expression, turns)
    )
    return CarriedMotion(*smooth).from_rest()


def still_face(image: Frames) -> StillFace:
    """Return the still face in a picture (256, 256, 3) RGB, caching the last few. Raise CellFailed if there is none."""
    return _still_face(image.tobytes())


@functools.lru_cache(maxsize=4)  # a cell is processed by one method after another
def _still_face(pixels: bytes) -> StillFace:
    return StillFace(np.frombuffer(pixels, np.uint8).reshape(SIZE, SIZE, 3))


class StillFace:
    """A still face to which motion can be applied. Raise CellFailed if `image` (256, 256, 3) RGB shows no face."""

    def __init__(self, image: Frames) -> None:
        self.image = image
        self.face = fit_mesh(landmarks(grey(image[None])[0], "template"))
        self.field = MeshField(self.face.vertices)
        self._spline = Spline(image)

    def move(self, motion: CarriedMotion) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB: the picture moved by the expression and then by the head, resampled
        once by a spline."""
        moments = zip(motion.expression, motion.head, strict=True)
        return np.stack([self._pose(expression, head) for expression, head in moments])

    def _pose(self, expression: Points, head: Points) -> Frames:
        matrix = _to_pixels(head, self.face)
        if not expression.any() and np.array_equal(matrix, AT_REST):
            return self.image
        backward = invert(unfolded(self.field.dense(self.face.to_pixels(expression))))
        before_head = np.asarray(cv2.transform(pixel_grid(), cv2.invertAffineTransform(matrix)), np.float32)
        return as_type(self._spline.at(before_head + sample(backward, before_head)), np.uint8)


def unfolded(field: Float32s) -> Float32s:
    """Return a forward field without folds, blurred increasingly until no pixel shrinks below LEAST_AREA."""
    blur = 2.0
    while jacobian_determinant(field).min() < LEAST_AREA:
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), blur), np.float32)
        blur *= 1.5
    return field


def _frame_of(face: FittedMesh) -> tuple[Points, Points]:
    """Return the linear part (2, 2) and the origin (2,) of the map from face units to pixels."""
    eyes = face.landmarks[36:48]
    return face.roll * face.eye_distance, np.asarray(eyes.mean(0))


def _to_face_units(head: Float32s, face: FittedMesh) -> npt.NDArray[np.float64]:
    """Return a similarity (2, 3) in face units, converted from pixels of a face's picture."""
    linear, origin = _frame_of(face)
    turn = head[:, :2].astype(np.float64)  # rotation and scale commute with the roll
    return np.c_[turn, np.linalg.solve(linear, turn @ origin + head[:, 2] - origin)]


def _to_pixels(head: npt.NDArray[np.float64], face: FittedMesh) -> Float32s:
    """Return a similarity (2, 3) in pixels of a face's picture, converted from face units."""
    linear, origin = _frame_of(face)
    return np.c_[head[:, :2], origin + linear @ head[:, 2] - head[:, :2] @ origin].astype(np.float32)
