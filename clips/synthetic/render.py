"""Frames of a person in motion, and the exact flow they were made with."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from megbench.clips.portraits import to_texture
from megbench.clips.synthetic.identities import Person
from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import SIZE, Frames
from megbench.core.spline import Spline, as_type
from megbench.faces import mesh
from megbench.faces.field import MeshField, Points, invert, sample

# How much sharper than the portrait a person is, so that frames look as they did when OpenCV's cubic kernel made them,
# which raises middle frequencies by 2.5 %: without it their Laplacian variance is 5.5 % lower, with it 1 to 3 %.
SHARPER = 0.018
# Wrinkles: how much skin darkens for its squeezing. Kept small: at .28 optical flow misses the exact flow by .088 px in
# the mean of eight expressions of two units (which move .57 px), at .12 by .059 px, at 0 by .048 px.
WRINKLE = 0.12
# Beyond this much squeezing or stretching a fold is as dark, or skin as smooth, as it gets.
DEEPEST, SMOOTHEST = -0.16, 0.06
# Softness of a wrinkle's shadow, pixels.
WRINKLE_BLUR = 1.5

AT_REST: Float32s = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class Shot:
    """One noise-free picture with its motion.

    frame: uint8 (256, 256, 3) RGB. forward: (256, 256, 2) float32, from the neutral frame to this one, head included;
    backward: the same seen from this frame.
    """

    frame: Frames
    forward: Float32s
    backward: Float32s


class Actor:
    """A person in front of the camera: the mesh is triangulated and the texture filtered once."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.field = MeshField(person.face.vertices)
        self._texture = Spline(sharpened(person.texture))

    @cached_property
    def skin(self) -> Float32s:
        """Where wrinkles may show (256, 256) in 0..1: the face less eyes and mouth."""
        vertices = self.person.face.vertices
        openings = (
            np.r_[mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID],
            np.r_[mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID],
            np.r_[mesh.UPPER_LIP_OUTER, mesh.LOWER_LIP_OUTER],
        )
        face = hull(vertices[mesh.OVAL])
        for ring in openings:
            face[cv2.dilate(hull(vertices[ring]), np.ones((7, 7), np.uint8)) > 0] = 0
        return np.asarray(cv2.GaussianBlur(face.astype(np.float32), (0, 0), 3), np.float32)

    def move(self, displacement: Points) -> Float32s:
        """Forward field (256, 256, 2) of vertex displacements (478, 2) in face units, without the head."""
        return self.field.dense(self.person.face.to_pixels(displacement))

    def shoot(self, forward: Float32s, head: Float32s = AT_REST, backward: Float32s | None = None) -> Shot:
        """The picture after `forward` (256, 256, 2) and then the head's similarity (2, 3), resampled once (spline).

        backward: the inverse of `forward`, if the caller has a better one than `invert`, which suits small motion.
        """
        grid = pixel_grid()
        unturned = turned(grid, np.asarray(cv2.invertAffineTransform(head), np.float32))  # before the head moved
        source = unturned + sample(invert(forward) if backward is None else backward, unturned)
        picture = self._texture.at(to_texture(source)) * sample(self._shading(forward), source)[..., None]
        return Shot(as_type(picture, np.uint8), turned(grid + forward, head) - grid, source - grid)

    def _shading(self, forward: Float32s) -> Float32s:
        """Brightness (256, 256) of the neutral frame's skin under `forward`: less where skin is squeezed."""
        squeeze = np.gradient(forward[..., 0], axis=1) + np.gradient(forward[..., 1], axis=0)
        squeeze = cv2.GaussianBlur(np.clip(squeeze, DEEPEST, SMOOTHEST), (0, 0), WRINKLE_BLUR)
        return np.asarray(1 + WRINKLE * squeeze * self.skin, np.float32)


def sharpened(texture: Frames) -> Float32s:
    """A texture (H, W, 3) uint8 as float32, sharper by SHARPER: even-handed, so that nothing moves."""
    kernel = np.array([-SHARPER, 1 + 2 * SHARPER, -SHARPER])
    return np.asarray(cv2.sepFilter2D(texture, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101))


def turned(positions: Float32s, head: Float32s) -> Float32s:
    """Positions (H, W, 2) under a similarity (2, 3)."""
    return np.asarray(positions @ head[:, :2].T + head[:, 2], np.float32)


def hull(points: Points) -> npt.NDArray[np.uint8]:
    """Mask (256, 256) uint8, 1 inside the convex hull of points (N, 2)."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    return mask
