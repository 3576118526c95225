"""The demo protocol with pictures like those of published kits: soft, saved as JPEG and enlarged, with weak motion.

It has nine drivers on two templates, arranged as in `demo`. Each truth animates the template's own picture, with the
template's blur and without noise, so that a method need neither sharpen nor imitate a camera.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import yaml

from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.look import Look
from megbench.clips.synthetic.people import Role
from megbench.protocols.demo import Demo, DemoSheet, Driver, Face, Strict, Style

# Exponents of red, green and blue; an exponent below 1 brightens.
Light = tuple[float, float, float]


class Photograph(Strict):
    """How a picture is saved: its height and width in pixels, and its JPEG quality."""

    pixels: int
    quality: int


class KitStyle(Style):
    """A recording style with its noise, its blur (in pixels of the filmed picture) and the way its frames are saved."""

    noise: float
    lens: float
    saved: Photograph


class KitFace(Face):
    """A template with its lighting and the blur of its picture (in pixels of the saved picture)."""

    light: Light
    lens: float


class KitDriver(Driver):
    """A driver with its lighting."""

    light: Light


class DemoKitSheet(DemoSheet):
    """The contents of demo_kit.yaml."""

    photograph: Photograph
    styles: Mapping[str, KitStyle]
    templates: tuple[KitFace, ...]
    drivers: tuple[KitDriver, ...]


SHEET = DemoKitSheet.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


class DemoKit(Demo):
    """Nine weak rendered micro-expressions that look like published kits: soft, noisy, saved as JPEG and enlarged.

    workers: as in Demo.
    """

    name = "demo_kit"
    sheet: ClassVar[DemoKitSheet] = SHEET
    version = SHEET.version

    def __init__(self, cache: Path, workers: int = 0) -> None:
        super().__init__(cache, None, workers)

    def _camera(self, index: int) -> Camera:
        driver = self.sheet.drivers[index]
        style = self.sheet.styles[driver.style]
        look = Look(driver.light, style.lens, style.saved.pixels, style.saved.quality)
        return Camera(style.colour, style.fps, style.noise, style.exposures, look)

    def _face(self, index: int) -> Role:
        face, saved = self.sheet.templates[index], self.sheet.photograph
        look = Look(face.light, face.lens, saved.pixels, saved.quality)
        return Role(face.portrait, self.sheet.series, face.number, look)
