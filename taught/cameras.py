"""Lighting and cameras for rendered training pictures: clean pictures, and pictures like those of published kits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from megbench.clips.synthetic.look import saved
from megbench.core.clip import Float32s
from megbench.core.frames import SIZE, Frames
from megbench.taught.variation import Variation
from megbench.training.variation import LUMA

# Noise is drawn once and shifted at random, which is twenty times as fast as drawing new noise.
GRAIN = np.random.default_rng(0).standard_normal((SIZE, SIZE, 3), dtype=np.float32)
# Ranges for published pictures: size in filmed pixels, JPEG quality, blur in filmed pixels, noise in the [0, 1] range.
# They include the values of MEGC2021's official kit: drivers of 140 to 256 pixels, templates of 128.
PIXELS, QUALITY, LENS, NOISE = (112, 256), (50, 96), (0.6, 1.4), (0.005, 0.014)
# Side lengths, in pixels, of downsampled pictures with only the coarse detail, and with only the coarse and middle
# detail.
BANDS = (16, 64)
# Templates are clean portraits, in which only this much camera noise remains.
TEMPLATE_NOISE = 0.3


@dataclass(frozen=True)
class Tone:
    """A change in the contrast and colour of facial features, so that networks do not learn those of one person.

    gains: (256, 256, 1) each, the factors of the coarse, middle and fine detail. colours: (3, 3).
    """

    gains: tuple[Float32s, Float32s, Float32s]
    colours: Float32s

    @classmethod
    def draw(cls, settings: Variation, rng: np.random.Generator) -> Tone | None:
        """Return a random tone, or None for no change."""
        if rng.random() >= settings.tone_share:
            return None
        coarse = np.exp(settings.tone * rng.standard_normal((3, 4, 4))).astype(np.float32)
        coarse, middle, fine = (np.asarray(cv2.resize(gain, (SIZE, SIZE))[..., None], np.float32) for gain in coarse)
        mixed = np.eye(3) + settings.tone / 3 * rng.standard_normal((3, 3))
        return cls((coarse, middle, fine), np.asarray(mixed / mixed.sum(0), np.float32))

    def on(self, lit: Float32s) -> Float32s:
        """Return a lit picture (256, 256, 3) with this tone."""
        mean = lit.mean((0, 1))
        coarse, middle = (_softer(lit, side) for side in BANDS)
        first, second, third = self.gains
        toned = mean + first * (coarse - mean) + second * (middle - coarse) + third * (lit - middle)
        return np.asarray(toned @ self.colours, np.float32)


@dataclass(frozen=True)
class Published:
    """How a picture was published: its side length in filmed `pixels`, and its JPEG `quality`."""

    pixels: int
    quality: int


@dataclass(frozen=True)
class Camera:
    """Lighting and camera of one person's frames.

    table: (256, 3) float32, the brightness in [0, 1] of every grey level.
    shade: (256, 256, 1), the factor by which the light at each pixel is multiplied.
    blur: in pixels of the 256-pixel picture, 0 for none.
    noise: the standard deviation, in the [0, 1] range.
    published: None for a picture left as it was filmed.
    tone: None for an unchanged face.
    """

    table: Float32s
    shade: Float32s
    grey: bool
    blur: float
    noise: float
    published: Published | None
    tone: Tone | None

    @classmethod
    def draw(cls, settings: Variation, rng: np.random.Generator, grey: bool, template: bool) -> Camera:
        """Draw a random camera, for a template or for a driver."""
        gain = 1 + settings.gain * rng.standard_normal() + settings.channel * rng.standard_normal(3)
        level = (np.arange(256, dtype=np.float32)[:, None] / 255) ** np.exp(settings.gamma * rng.standard_normal())
        table = np.asarray(level * gain + settings.offset * rng.standard_normal(), np.float32)
        coarse = 1 + settings.shade * rng.standard_normal((3, 3)).astype(np.float32)
        shade = np.asarray(cv2.resize(coarse, (SIZE, SIZE)), np.float32)[..., None]
        tone = Tone.draw(settings, rng)
        if rng.random() >= settings.published_share:
            blur = settings.blur_px * rng.random() if rng.random() < settings.blur_share else 0.0
            noise = settings.noise * rng.random()
            return cls(table, shade, grey, blur, noise * (TEMPLATE_NOISE if template else 1), None, tone)
        published = Published(_pixels(rng), int(rng.integers(*QUALITY)))
        blur = float(rng.uniform(*LENS)) * SIZE / published.pixels
        noise = 0.0 if template else float(rng.uniform(*NOISE))
        return cls(table, shade, grey, blur, noise, published, tone)

    def record(self, picture: Frames, rng: np.random.Generator) -> Float32s:
        """Return a picture (256, 256, 3) uint8 as recorded by the camera: float32 in [0, 1], with new noise."""
        lit = np.stack([self.table[:, channel][picture[..., channel]] for channel in range(3)], -1)
        lit = (self.tone.on(lit) if self.tone else lit) * self.shade
        if self.grey:
            lit = np.repeat((lit @ LUMA)[..., None], 3, axis=2)
        if self.blur > 0.3:
            lit = np.asarray(cv2.GaussianBlur(lit, (0, 0), self.blur), np.float32)
        if self.published and self.published.pixels < SIZE:
            side = self.published.pixels
            lit = np.asarray(cv2.resize(lit, (side, side), interpolation=cv2.INTER_AREA), np.float32)
        noisy = lit + self.noise * self._grain(len(lit), rng)
        if self.published is None:
            return np.asarray(np.clip(noisy, 0, 1), np.float32)
        shown = saved(np.asarray(np.clip(np.round(255 * noisy), 0, 255), np.uint8), self.published.quality, SIZE)
        return np.asarray(shown / np.float32(255), np.float32)

    def _grain(self, side: int, rng: np.random.Generator) -> Float32s:
        """Return noise (side, side, 3 or 1) with standard deviation 1."""
        roll = tuple(int(step) for step in rng.integers(0, SIZE, 2))
        grain = np.roll(GRAIN, roll, axis=(0, 1))[:side, :side]
        return grain[..., :1] if self.grey else grain


def _softer(picture: Float32s, side: int) -> Float32s:
    """Return a picture (256, 256, 3) downsampled to `side` pixels and enlarged again."""
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.float32)


def _pixels(rng: np.random.Generator) -> int:
    """Draw a random side length in filmed pixels; half of the pictures are not enlarged."""
    return SIZE if rng.random() < 0.5 else int(rng.integers(*PIXELS))
