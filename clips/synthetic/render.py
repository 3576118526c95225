"""Render frames of a person in motion together with their exact flow."""

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

# How much a portrait is sharpened. Frames are then almost as sharp as with OpenCV's cubic kernel, which raises middle
# frequencies by 2.5 %: their Laplacian variance is 1 to 3 % lower, and without sharpening 5.5 % lower.
SHARPER = 0.018
# Wrinkles: how much skin darkens when it is compressed. The value is small on purpose, because wrinkles mislead optical
# flow: on average over eight expressions of two units (which move by .57 px), its error is .088 px at a value of .28,
# .059 px at .12 and .048 px at 0.
WRINKLE = 0.12
# The compression at which a fold is darkest, and the stretching at which skin is smoothest.
DEEPEST, SMOOTHEST = -0.16, 0.06
# The blur of a wrinkle's shadow, in pixels.
WRINKLE_BLUR = 1.5

AT_REST: Float32s = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


@dataclass(frozen=True)
class Shot:
    """One noise-free picture with its motion.

    frame: uint8 (256, 256, 3) RGB. forward: (256, 256, 2) float32, from the neutral frame to this one, including head
    motion. backward: its inverse, from this frame to the neutral one.
    """

    frame: Frames
    forward: Float32s
    backward: Float32s


class Actor:
    """A person in front of the camera. The mesh is triangulated and the texture is filtered only once per actor."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.field = MeshField(person.face.vertices)
        self._texture = Spline(sharpened(person.texture))

    @cached_property
    def skin(self) -> Float32s:
        """The weight of wrinkles at each pixel, (256, 256) in 0..1: the face without eyes and mouth."""
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
        """Return the forward field (256, 256, 2) for displacements of the vertices, (478, 2) in face units.

        The motion of the head is not included.
        """
        return self.field.dense(self.person.face.to_pixels(displacement))

    def shoot(self, forward: Float32s, head: Float32s = AT_REST, backward: Float32s | None = None) -> Shot:
        """Render the picture moved by `forward` (256, 256, 2) and then by the head's similarity (2, 3).

        The texture is sampled only once. backward: the inverse of `forward`, if the caller has a more exact one than
        `invert` returns, which is meant for small motion.
        """
        grid = pixel_grid()
        unturned = turned(grid, np.asarray(cv2.invertAffineTransform(head), np.float32))  # before the head moved
        source = unturned + sample(invert(forward) if backward is None else backward, unturned)
        picture = self._texture.at(to_texture(source)) * sample(self._shading(forward), source)[..., None]
        return Shot(as_type(picture, np.uint8), turned(grid + forward, head) - grid, source - grid)

    def _shading(self, forward: Float32s) -> Float32s:
        """Return the brightness factor (256, 256) of skin in the neutral frame, lower where `forward` compresses it."""
        squeeze = np.gradient(forward[..., 0], axis=1) + np.gradient(forward[..., 1], axis=0)
        squeeze = cv2.GaussianBlur(np.clip(squeeze, DEEPEST, SMOOTHEST), (0, 0), WRINKLE_BLUR)
        return np.asarray(1 + WRINKLE * squeeze * self.skin, np.float32)


def sharpened(texture: Frames) -> Float32s:
    """Return a texture (H, W, 3) uint8 as float32, sharpened by SHARPER with a symmetric kernel (without a shift)."""
    kernel = np.array([-SHARPER, 1 + 2 * SHARPER, -SHARPER])
    return np.asarray(cv2.sepFilter2D(texture, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REFLECT_101))


def turned(positions: Float32s, head: Float32s) -> Float32s:
    """Return positions (H, W, 2) transformed by a similarity (2, 3)."""
    return np.asarray(positions @ head[:, :2].T + head[:, 2], np.float32)


def hull(points: Points) -> npt.NDArray[np.uint8]:
    """Return a mask (256, 256) uint8 that is 1 inside the convex hull of points (N, 2)."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(points).astype(np.int32)), 1)
    return mask
