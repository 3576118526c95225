"""The demo protocol: rendered micro-expressions with a known truth in every cell, arranged as in MEGC2021.

It has nine drivers (three emotions in three recording styles) on two templates. A driver and its reference show the
same motion with different noise. Truths are sharp and free of noise, like the templates, so that a method need not
imitate a camera.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from megbench.clips.portraits import portraits_in
from megbench.clips.synthetic.camera import Camera
from megbench.clips.synthetic.degraded import Answer
from megbench.clips.synthetic.people import Role
from megbench.clips.synthetic.performance import Performance, Track
from megbench.clips.synthetic.rendered_clips import Scene, shoot
from megbench.core.clip import Cell, Clip, Template
from megbench.core.errors import BenchError, plural
from megbench.core.files.names import check_name
from megbench.core.frames import frame_path, read_png
from megbench.core.processors import usable
from megbench.core.progress import duration, note

# Estimates in processor seconds: starting a rendering process, rendering a scene, rendering one of its exposures.
START_S, SCENE_S, SHOT_S = 3.0, 0.45, 0.02
TEMPLATE_CAMERA = Camera(noise=0.0)


class Strict(BaseModel):
    """A row of the data file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Style(Strict):
    """A recording style, named like a database. `exposures`: the instants, in frames, averaged into one frame."""

    colour: Literal["grey", "rgb"]
    fps: float
    exposures: tuple[float, ...] = (0.0,)


class Face(Strict):
    """A template: the person whom it shows, identified by a portrait and a number."""

    name: str
    portrait: str
    number: int


class Driver(Strict):
    """A driver: the person, the recording style, and the key frames [frame, intensity] of each action unit."""

    name: str
    style: str
    emotion: Literal["negative", "positive", "surprise"]
    number: int
    frames: int
    manner: int
    head_px: float
    foil: str
    units: dict[str, tuple[tuple[float, float], ...]]

    def performance(self) -> Performance:
        """Return the motion that the key frames describe."""
        tracks = tuple(Track(unit, keys) for unit, keys in self.units.items())
        return Performance(tracks, self.frames, self.manner, self.head_px)


class DemoSheet(Strict):
    """The contents of demo.yaml."""

    version: str
    series: str
    portrait: str
    styles: Mapping[str, Style]
    templates: tuple[Face, ...]
    drivers: tuple[Driver, ...]


SHEET = DemoSheet.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


class Demo:
    """Nine rendered micro-expressions on two invented people, with a known truth for every cell.

    workers: the number of rendering processes; 0 means one per processor.
    """

    name = "demo"
    sheet: ClassVar[DemoSheet] = SHEET
    version = SHEET.version

    def __init__(self, cache: Path, portraits: Path | None = None, workers: int = 0) -> None:
        self.cache, self.workers = cache, workers
        own = [] if portraits is None else portraits_in(portraits)
        for path in own:
            if [other.stem for other in own].count(path.stem) > 1:
                raise BenchError(f"{portraits} contains several portraits called {path.stem!r}. Rename all but one.")
        # The user's portraits become templates unchanged. The drivers' people are drawn from the portraits in turn.
        self.templates = {
            check_name("template", path.stem): Role(str(path.resolve()), path.stem, None) for path in own
        } or {face.name: self._face(index) for index, face in enumerate(self.sheet.templates)}
        self.portraits = [role.portrait for role in self.templates.values()] if own else [self.sheet.portrait]

    def cells(self) -> list[Cell]:
        """Return all cells, driver by driver, rendering them on first use.

        Raise BenchError if a portrait shows no face.
        """
        return self._cells([driver.name for driver in self.sheet.drivers], list(self.templates))

    def few(self) -> list[Cell]:
        """Return only the first cell as a sample, for which 3 scenes are rendered instead of 27."""
        return self._cells([self.sheet.drivers[0].name], [next(iter(self.templates))])

    def _cells(self, names: Sequence[str], templates: Sequence[str]) -> list[Cell]:
        chosen = [driver for driver in self.sheet.drivers if driver.name in names]
        filmed = {*names, *(driver.foil for driver in chosen)}
        drivers = [self._driver(index) for index, driver in enumerate(self.sheet.drivers) if driver.name in filmed]
        truths = [self._truth(driver, name) for driver in chosen for name in templates]
        scenes = [*drivers, *truths]
        self._announce([scene for scene in scenes if not _rendered(scene, self.cache)])
        takes = shoot(scenes, self.cache, self.workers)
        if any(len(shot) < scene.takes for scene, shot in zip(scenes, takes, strict=True)):
            # The clips' keys depend on the code, so processes that start after a change store the clips under other
            # keys.
            raise BenchError(
                "The suite's code changed during the run (for example, because of an update). Run the same command"
                " again; finished results are kept."
            )
        clips = {scene.name: shot for scene, shot in zip(scenes, takes, strict=True)}
        stills = {name: _still(name, clips[_truth_name(chosen[0], name)][0]) for name in templates}
        return [
            Cell(
                protocol=self.name,
                driver=clips[driver.name][0],
                template=stills[name],
                reference=clips[driver.name][1],
                truth=clips[_truth_name(driver, name)][0],
                foil=clips[driver.foil][0],
            )
            for driver in chosen
            for name in templates
        ]

    def _announce(self, waiting: Sequence[Scene]) -> None:
        """Print how many clips must be rendered first, if any, and approximately how long that takes."""
        if not waiting:
            return
        shots = sum(scene.performance.n_frames * len(scene.camera.exposures) for scene in waiting)
        workers = min(self.workers or usable(), len(waiting))
        seconds = START_S * workers + SCENE_S * len(waiting) + SHOT_S * shots
        note(
            f"the clips of {self.name} must be rendered first: {plural(len(waiting), 'scene')}, about"
            f" {duration(seconds / workers)} on an otherwise idle machine (not timed here). They are kept for all runs."
        )

    def answer(self, cell: Cell) -> Answer:
        """Return the scenes from which a cell's truth is rendered, so that it can be degraded deliberately."""
        sheet = {driver.name: driver for driver in self.sheet.drivers}
        driver = sheet[cell.driver.name]
        other = next((name for name in self.templates if name != cell.template.name), cell.template.name)
        scenes = ((driver, cell.template.name), (sheet[driver.foil], cell.template.name), (driver, other))
        return Answer(*(self._truth(who, name) for who, name in scenes))

    def _driver(self, index: int) -> Scene:
        driver = self.sheet.drivers[index]
        role = Role(self.portraits[index % len(self.portraits)], self.sheet.series, driver.number)
        performance, camera = driver.performance(), self._camera(index)
        return Scene(driver.name, driver.style, driver.emotion, role, performance, camera, takes=2)

    def _camera(self, index: int) -> Camera:
        """Return the camera that films the driver at this index of the sheet."""
        style = self.sheet.styles[self.sheet.drivers[index].style]
        return Camera(style.colour, style.fps, exposures=style.exposures)

    def _face(self, index: int) -> Role:
        """Return the person on the template at this index of the sheet."""
        face = self.sheet.templates[index]
        return Role(face.portrait, self.sheet.series, face.number)

    def _truth(self, driver: Driver, name: str) -> Scene:
        """Return the scene in which the template's person performs the driver's motion in the driver's manner."""
        role, name = self.templates[name], _truth_name(driver, name)
        return Scene(name, driver.style, driver.emotion, role, driver.performance(), TEMPLATE_CAMERA)


def _rendered(scene: Scene, cache: Path) -> bool:
    return all((cache / scene.key(take) / "clip.json").is_file() for take in range(scene.takes))


def _still(name: str, truth: Clip) -> Template:
    """Return the template, which is the neutral first frame of each of its truths."""
    return Template.of(name, truth.subject, read_png(frame_path(truth.folder / "frames", 0)))


def _truth_name(driver: Driver, template: str) -> str:
    return f"{driver.name}.on.{template}"
