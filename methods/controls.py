"""The controls: rows that know the truth or ignore the driver, which show what the scores are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from megbench.core.clip import Cell, Clip
from megbench.core.errors import BenchError, CellFailed
from megbench.core.frames import Frames
from megbench.core.video_writing import reencode
from megbench.faces.transfer import CarriedMotion, lift_motion, still_face

NOISE = 2.0


class Plain:
    """A row that accepts no variants and no options.

    purpose: the row's purpose, for the report. needs: what a cell must have in addition to a driver and a template.
    """

    name: str
    is_control = True
    purpose: ClassVar[str]
    needs: ClassVar[Literal["", "truth", "foil"]] = ""

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        if variant or options:
            raise BenchError(f"{self.name} has no variants and no options. Write just {self.name}.")
        self.variant = ""

    def identity(self) -> dict[str, str]:
        """Return the row's name alone, because there are no weights or settings that could affect the frames."""
        return {"name": self.name}


class Still(Plain):
    """The template, repeated."""

    name = "still"
    purpose = "the template without motion: scores high in measures of the picture but is worthless as motion"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB, all equal."""
        return np.repeat(cell.template.image[None], cell.driver.n_frames, axis=0)


class StillNoise(Plain):
    """The template with camera noise of sigma 2, drawn anew for every frame."""

    name = "still_noise"
    purpose = "the still template with camera noise"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. The same cell always gets the same noise."""
        seed = hashlib.blake2b(f"{cell.protocol} {cell.name} {cell.template.content}".encode(), digest_size=8).digest()
        shape = cell.driver.n_frames, *cell.template.image.shape
        noise = np.random.default_rng(int.from_bytes(seed)).standard_normal(shape, np.float32)
        noise *= NOISE
        noise += cell.template.image
        return np.clip(np.rint(noise, noise), 0, 255, noise).astype(np.uint8)


class Rigid(Plain):
    """The template moved only by the driver's head motion."""

    name = "rigid"
    purpose = "the template moved by the driver's head motion only: must not score well"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise CellFailed if the driver or template shows no face."""
        motion = lift_motion(cell.driver)
        return still_face(cell.template.image).move(CarriedMotion(np.zeros_like(motion.expression), motion.head))


class Ceiling(Plain):
    """A perfect copy of the driver: rendered with different noise, or a recording encoded like the experts' videos.

    A recording has no second take. An identical copy would score perfectly in every figure and so say nothing. A copy
    encoded like the experts' videos shows what this encoding preserves.
    """

    name = "ceiling"
    purpose = "the driver's own motion again (with different noise, or re-encoded): what a perfect copy scores"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB of the driver, other than those with which outputs are compared."""
        frames = cell.driver.frames()
        return frames if cell.reference.content != cell.driver.content else reencode(frames)


class Truth(Plain):
    """The rendered truth, which shows what a perfect method would score."""

    name = "truth"
    purpose = "the rendered ground truth: what a perfect method scores"
    needs = "truth"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise CellFailed if the truth is unknown."""
        return _present(cell.truth, "truth").frames()


def _present(clip: Clip | None, role: str) -> Clip:
    if clip is None:
        raise CellFailed(f"this cell has no {role}")
    return clip
