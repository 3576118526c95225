"""How rendered training pictures are varied: where a face stands, how its head moves, light and camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from megbench.core.clip import Float32s, pixel_grid
from megbench.core.frames import Frames
from megbench.core.spline import Spline, as_type
from megbench.training.variation import LUMA

SIZE = 256
# Noise is drawn once and shifted at random, which is twenty times as fast as drawing it anew.
GRAIN = np.random.default_rng(0).standard_normal((SIZE, SIZE, 3), dtype=np.float32)


@dataclass(frozen=True)
class Variation:
    """Shares are probabilities; place, in which the person stands, is one draw for all frames of a person.

    flip_points: a mirrored picture's landmarks and points are mirrored too; False is FPB-FOMM's published behaviour.
    place_px, place_turn: standard deviations of the place's shift and of the entries of its linear map less 1.
    rest_share: of pairs whose first state is a face at rest for certain; else it is any.
    turn_share: of pairs whose states may be among those in which the set's people turn the head.
    head_share: of pairs whose head moves between the two states, by an affine map of the whole picture;
    head_px: least and largest size of that motion (log-uniform; shift in pixels, linear map in half percents).
    gain, channel, offset, gamma, shade: of brightness, colour balance, black level, log gamma, and a smooth light
    from somewhere. noise: of the camera, at most, in the [0, 1] range. landmark_px: of the landmarks found.
    """

    flip_share: float = 0.5
    flip_points: bool = True
    place_share: float = 0.7
    place_px: float = 6.0
    place_turn: float = 0.03
    rest_share: float = 0.6
    turn_share: float = 0.2
    head_share: float = 0.35
    head_px: tuple[float, float] = (0.3, 12.0)
    grey_share: float = 0.4
    gain: float = 0.10
    channel: float = 0.05
    offset: float = 0.03
    gamma: float = 0.2
    shade: float = 0.12
    blur_share: float = 0.3
    blur_px: float = 1.2
    noise: float = 0.008
    landmark_px: float = 0.7


@dataclass(frozen=True)
class Stir:
    """An affine motion about a point that is named later: linear (2, 2), shift (2,) in pixels."""

    linear: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float64]

    def about(self, centre: Float32s) -> npt.NDArray[np.float64]:
        """The motion as a matrix (3, 3) on pixels."""
        matrix = np.eye(3)
        matrix[:2, :2] = self.linear
        matrix[:2, 2] = centre + self.shift - self.linear @ centre
        return matrix


def stirred(settings: Variation, rng: np.random.Generator) -> Stir:
    """A head's motion between two frames; none in most pairs."""
    if rng.random() >= settings.head_share:
        return Stir(np.eye(2), np.zeros(2))
    size = np.exp(rng.uniform(*np.log(settings.head_px)))
    return Stir(np.eye(2) + 0.005 * size * rng.standard_normal((2, 2)), size * rng.standard_normal(2))


def placed(settings: Variation, rng: np.random.Generator, centre: Float32s) -> npt.NDArray[np.float64]:
    """Where a person stands in the picture: an affine matrix (3, 3) on pixels, about `centre`."""
    if rng.random() >= settings.place_share:
        return np.eye(3)
    linear = np.eye(2) + settings.place_turn * rng.standard_normal((2, 2))
    return Stir(linear, settings.place_px * rng.standard_normal(2)).about(centre)


def moved(points: npt.NDArray[Any], matrix: npt.NDArray[np.float64]) -> Float32s:
    """Points (..., 2) in pixels under a matrix (3, 3)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], np.float32)


def uncovered(picture: Frames, matrix: npt.NDArray[np.float64]) -> Frames:
    """A picture (256, 256, 3) uint8 under a matrix (3, 3), resampled once (spline); untouched by the identity."""
    if (matrix == np.eye(3)).all():
        return np.asarray(picture)
    return as_type(Spline(picture).at(moved(pixel_grid(), np.linalg.inv(matrix).astype(np.float64))), np.uint8)


@dataclass(frozen=True)
class Light:
    """Light and camera of one person's frames.

    table: (256, 3) float32, brightness in [0, 1] of every grey level. shade: (256, 256, 1). blur: pixels, 0 for none.
    """

    table: Float32s
    shade: Float32s
    grey: bool
    blur: float
    noise: float

    @classmethod
    def draw(cls, settings: Variation, rng: np.random.Generator, grey: bool, noisiness: float) -> Light:
        """A light; `noisiness` scales the camera's noise."""
        gain = 1 + settings.gain * rng.standard_normal() + settings.channel * rng.standard_normal(3)
        level = (np.arange(256, dtype=np.float32)[:, None] / 255) ** np.exp(settings.gamma * rng.standard_normal())
        table = np.asarray(level * gain + settings.offset * rng.standard_normal(), np.float32)
        coarse = 1 + settings.shade * rng.standard_normal((3, 3)).astype(np.float32)
        shade = np.asarray(cv2.resize(coarse, (SIZE, SIZE)), np.float32)[..., None]
        blur = settings.blur_px * rng.random() if rng.random() < settings.blur_share else 0.0
        return cls(table, shade, grey, blur, settings.noise * rng.random() * noisiness)

    def fall(self, picture: Frames, rng: np.random.Generator) -> Float32s:
        """The picture (256, 256, 3) uint8 in this light: float32 in [0, 1], with fresh noise."""
        if self.blur > 0.3:
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), self.blur))
        lit = np.stack([self.table[:, channel][picture[..., channel]] for channel in range(3)], -1) * self.shade
        roll = tuple(int(step) for step in rng.integers(0, SIZE, 2))
        grain = self.noise * np.roll(GRAIN, roll, axis=(0, 1))
        if self.grey:
            lit = np.repeat((lit @ LUMA)[..., None], 3, axis=2)
            grain = grain[..., :1]
        return np.asarray(np.clip(lit + grain, 0, 1), np.float32)
