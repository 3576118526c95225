"""Variation of rendered training pictures: where the face is and how the head moves. Cameras are in cameras.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import SIZE, Frames
from megbench.core.spline import Spline, as_type
from megbench.faces.field import sample
from megbench.faces.landmarks import eye_distance

Matrix = npt.NDArray[np.float64]

# The ellipse around the landmarks' bounding box that moves rigidly with a head, in widths and heights of the box. Its
# centre is above that of the box, because of the forehead. Beyond FAR times its radii, nothing moves.
RADII, HIGHER, FAR = (0.65, 0.75), 0.12, 1.6
# The number of positions per side at which a bend is drawn, and the number of steps in which a bent point is found,
# each step at least twice as exact as the last.
BEND_CELLS, UNBENDING = 5, 10
# The depth of a face, as smooth bumps: the head, the nose and its bridge. Each has a landmark as its centre (the head:
# between the eyes), a shift down from it and two radii in eye distances, and a height as a share of the head's depth.
# The proportions are estimates for an average head.
RELIEF = ((27, 0.3, 1.25, 1.75, 1.0), (30, 0.0, 0.22, 0.24, 0.3), (28, 0.0, 0.16, 0.35, 0.12))
# The largest turn, as the motion in pixels of the head's nearest part (about six degrees). Beyond it, the nose would
# hide a part of the face.
MOST_TURN = 8.0


@dataclass(frozen=True)
class Variation:
    """The ranges of variation. Shares are probabilities. A person's place is drawn once for all frames of that person.

    flip_points: whether the landmarks and points of a mirrored picture are mirrored, too; False is FPB-FOMM's published
    behaviour.
    place_px, place_turn: standard deviations of the place's shift and of its linear map (minus the identity).
    bend_px: standard deviation of a smooth bend of the whole picture, which gives a person different proportions.
    rest_share: share of pairs whose first state is certainly a face at rest; in other pairs it may be any state.
    turn_share: share of pairs whose states may be among those in which the people turn their heads.
    head_share: share of pairs in which the head moves between the two states, by an affine map.
    head_px: smallest and largest size of that motion (log-uniform; shift in pixels, linear map in half percents).
    alone_share: share of the moving heads whose background is at rest; otherwise the whole picture moves.
    turn_depth: how far a moving head turns about its vertical and its sideways axis, as the motion of its nearest part
    in units of the size of the motion (standard deviation); its nose then moves farther than its cheeks.
    gain, channel, offset, gamma, shade: spreads of brightness, colour balance, black level, log gamma, and light that
    varies smoothly. noise: the largest camera noise, in the [0, 1] range. landmark_px: the error of landmarks.
    published_share: share of people whose pictures look like published kits: soft, small, saved as JPEG and enlarged.
    clutter_share: share of people with clothes, hats and backgrounds other than the portrait's.
    tone_share: share of people whose features have a different contrast and colour; tone: spread of the logarithms of
    these changes.
    """

    flip_share: float = 0.5
    flip_points: bool = True
    place_share: float = 0.7
    place_px: float = 6.0
    place_turn: float = 0.05
    bend_px: float = 4.0
    rest_share: float = 0.6
    turn_share: float = 0.2
    head_share: float = 0.35
    head_px: tuple[float, float] = (0.3, 18.0)
    alone_share: float = 0.6
    turn_depth: float = 0.7
    grey_share: float = 0.4
    gain: float = 0.10
    channel: float = 0.05
    offset: float = 0.03
    gamma: float = 0.4
    shade: float = 0.12
    blur_share: float = 0.3
    blur_px: float = 1.2
    noise: float = 0.012
    landmark_px: float = 0.7
    published_share: float = 0.6
    clutter_share: float = 0.8
    tone_share: float = 0.8
    tone: float = 0.4


@dataclass(frozen=True)
class Stir:
    """An affine motion about a point given later: linear (2, 2), shift (2,) in pixels. alone: only the head moves.

    turn: (2,), the motion in pixels of the head's nearest part when it turns in depth.
    """

    linear: Matrix
    shift: Matrix
    alone: bool = False
    turn: Matrix = field(default_factory=lambda: np.zeros(2))

    def about(self, centre: Float32s) -> Matrix:
        """Return the motion about `centre` as a matrix (3, 3) on pixel coordinates."""
        matrix = np.eye(3)
        matrix[:2, :2] = self.linear
        matrix[:2, 2] = centre + self.shift - self.linear @ centre
        return matrix


def stirred(settings: Variation, rng: np.random.Generator) -> Stir:
    """Draw a head's motion between two frames; for most pairs, there is none."""
    if rng.random() >= settings.head_share:
        return Stir(np.eye(2), np.zeros(2))
    size = np.exp(rng.uniform(*np.log(settings.head_px)))
    drawn = np.clip(rng.standard_normal((4, 2)), -2, 2)
    alone = bool(rng.random() < settings.alone_share)
    turn = np.clip(settings.turn_depth * size * drawn[3], -MOST_TURN, MOST_TURN)
    return Stir(np.eye(2) + 0.005 * size * drawn[:2], size * drawn[2], alone, turn)


def placed(settings: Variation, rng: np.random.Generator, centre: Float32s) -> Matrix:
    """Draw a person's place in the picture: an affine matrix (3, 3) on pixel coordinates, about `centre`."""
    if rng.random() >= settings.place_share:
        return np.eye(3)
    linear = np.eye(2) + settings.place_turn * rng.standard_normal((2, 2))
    return Stir(linear, settings.place_px * rng.standard_normal(2)).about(centre)


def bent(settings: Variation, rng: np.random.Generator) -> Float32s | None:
    """Return a random smooth bend (256, 256, 2) in pixels, or None, as often as a person is not placed."""
    if rng.random() >= settings.place_share or not settings.bend_px:
        return None
    coarse = settings.bend_px * np.clip(rng.standard_normal((BEND_CELLS, BEND_CELLS, 2)), -2, 2)
    return np.asarray(cv2.resize(coarse.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.float32)


def moved(points: npt.NDArray[Any], matrix: Matrix) -> Float32s:
    """Return points (..., 2) in pixels transformed by a matrix (3, 3)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], np.float32)


@dataclass(frozen=True)
class Pose:
    """The pose of a rendered person: the picture is bent, then moved by `place`; then the head turns and moves.

    place, head: (3, 3) on pixel coordinates. landmarks: (68, 2), of the rendered picture; they say where the head is.
    bend: (256, 256, 2), from the bent picture back to the rendered one, or None. turn: (2,), the motion in pixels of
    the head's nearest part. alone: whether the background remains at rest when the head moves.
    """

    place: Matrix
    head: Matrix
    landmarks: Float32s
    bend: Float32s | None = None
    turn: Matrix = field(default_factory=lambda: np.zeros(2))
    alone: bool = False

    def of(self, points: npt.NDArray[Any]) -> Float32s:
        """Return the positions in the posed picture of points (..., 2) of the rendered picture."""
        there = self._placed(points)
        if self.turn.any():
            unturned = there
            for _ in range(UNBENDING):
                there = np.asarray(unturned + self._turned(there), np.float32)
        return moved(there, self.head)

    def before(self, seen: npt.NDArray[Any]) -> Float32s:
        """Return the positions in the rendered picture of points (..., 2) of the posed picture."""
        unturned = moved(seen, np.linalg.inv(self.head).astype(np.float64))
        if self.alone:
            unturned = np.asarray(seen + self._share(seen)[..., None] * (unturned - seen), np.float32)
        if self.turn.any():
            unturned = np.asarray(unturned - self._turned(unturned), np.float32)
        bent = moved(unturned, np.linalg.inv(self.place).astype(np.float64))
        return bent if self.bend is None else np.asarray(bent + sample(self.bend, bent), np.float32)

    def picture(self, rendered: Frames) -> Frames:
        """Return a picture (256, 256, 3) uint8 in this pose, resampled once (spline); unchanged if nothing moves."""
        still = self.bend is None and not self.turn.any()
        if still and (self.place == np.eye(3)).all() and (self.head == np.eye(3)).all():
            return np.asarray(rendered)
        return as_type(Spline(rendered).at(self.before(pixel_grid())), np.uint8)

    def _placed(self, points: npt.NDArray[Any]) -> Float32s:
        """Return the positions of points (..., 2) of the rendered picture before the head turns and moves."""
        unbent = np.asarray(points, np.float32)
        if self.bend is not None:
            for _ in range(UNBENDING):
                unbent = np.asarray(points - sample(self.bend, unbent), np.float32)
        return moved(unbent, self.place)

    @cached_property
    def _relief(self) -> list[tuple[Float32s, float]]:
        """The bumps of the face before the head turns: (2, 2) centre and radii in pixels, and height."""
        found = self._placed(self.landmarks)
        apart = eye_distance(found.astype(np.float64))
        return [
            (np.stack([found[index] + [0, apart * down], apart * np.array(radii)]).astype(np.float32), height)
            for index, down, *radii, height in RELIEF
        ]

    def _turned(self, points: Float32s) -> Float32s:
        """Return the motion (..., 2) in pixels with which the head, turning in depth, arrives at points (..., 2)."""
        depth = np.zeros(points.shape[:-1], np.float32)
        for (centre, radii), height in self._relief:
            depth += height * np.clip(1 - (((points - centre) / radii) ** 2).sum(-1) / 4, 0, None) ** 2
        return np.asarray(depth[..., None] * self.turn, np.float32)

    def _share(self, seen: npt.NDArray[Any]) -> Float32s:
        """Return the share of the head's motion at points (..., 2) of the posed picture: 1 at the face, 0 far away."""
        found = self.of(self.landmarks)
        size = np.ptp(found, axis=0)
        centre = (found.min(0) + found.max(0)) / 2 - [0, HIGHER * size[1]]
        away = np.linalg.norm((seen - centre) / (size * RADII), axis=-1)
        fall = np.clip((FAR - away) / (FAR - 1), 0, 1)
        return np.asarray(fall * fall * (3 - 2 * fall), np.float32)
