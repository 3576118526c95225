"""The generation task of MEGC2021: nine micro-expressions from CASME II, SAMM and SMIC on two templates.

Users supply the kit themselves, under its licence; no part of it is shipped or downloaded.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, Field

from megbench.clips.folder import Recording, prepare_all, template
from megbench.core.clip import Cell, Clip, Template
from megbench.core.errors import BenchError, check_choice, plural
from megbench.core.pictures import is_picture, pictures_in
from megbench.core.progress import note
from megbench.core.video import is_video

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Driver(BaseModel):
    """One clip of the task, as the databases' sheets describe it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    database: str
    recording: str
    folder: str
    emotion: str
    subject: str
    fps: float
    names: Names
    onset: int
    apex: int
    offset: int
    foil: str
    action_units: str | None = None
    lengths: tuple[int, ...] = ()


class Megc2021Sheet(BaseModel):
    """The contents of megc2021.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    templates: dict[str, Names]
    drivers: tuple[Driver, ...]


SHEET = Megc2021Sheet.model_validate(yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")))


def recordings() -> frozenset[str]:
    """Return the names of the nine drivers in the databases, such as "casme2/sub01_EP19_06f"."""
    return frozenset(driver.recording for driver in SHEET.drivers)


class Megc2021:
    """Nine clips from CASME II, SAMM and SMIC on two templates, as in the kit; a note lists what is missing.

    templates: the names of the templates to use, separated by commas, as the last part of a path (this is how
    --templates passes them), or None for all of them. Raise BenchError for a name that is not in the kit.
    """

    name = "megc2021"
    version = SHEET.version
    faces: ClassVar[dict[str, Names]] = SHEET.templates

    def __init__(self, cache: Path, data: Path, templates: Path | None = None) -> None:
        self.cache = cache
        self.data = data
        chosen = templates.name.split(",") if templates else list(self.faces)
        for name in chosen:
            check_choice(f"template of {self.name}:", name, self.faces)
        self.chosen = {name: names for name, names in self.faces.items() if name in chosen}

    def cells(self) -> list[Cell]:
        """Return all cells of the kit in the sheet's order.

        Raise BenchError if the kit contains no clip or no template.
        """
        kit = self.name.upper()
        if not self.data.is_dir():
            raise BenchError(f"The kit {self.data} is not a folder. Pass the unpacked {kit} kit to --data.")
        found = {driver.name: path for driver in SHEET.drivers if (path := self._clip_path(driver))}
        portraits = {name: path for name, names in self.chosen.items() if (path := self._picture_path(names))}
        if not found or not portraits:
            part = "clip under source_samples/" if not found else "template under target_template_face/"
            raise BenchError(f"{self.data} contains no known {part}. Pass the unpacked {kit} kit to --data.")
        _mention_missing(found, portraits, self.chosen)
        templates = [template(path, name) for name, path in portraits.items()]
        recordings = [_recording(driver, found[driver.name]) for driver in SHEET.drivers if driver.name in found]
        prepared = {clip.name: clip for clip in prepare_all(recordings, self.cache)}
        clips = {
            driver.name: _coded(driver, prepared[driver.name]) for driver in SHEET.drivers if driver.name in prepared
        }
        return [
            self._cell(driver, clips, face) for driver in SHEET.drivers if driver.name in clips for face in templates
        ]

    @classmethod
    def entry_names(cls) -> dict[str, str]:
        """Return the name of each cell's video in a challenge entry, made of the kit's names for clip and template."""
        return {
            f"{driver.name}__{face}": f"{driver.names[0]}-{names[0]}"
            for driver in SHEET.drivers
            for face, names in cls.faces.items()
        }

    def _cell(self, driver: Driver, clips: dict[str, Clip], face: Template) -> Cell:
        foil = clips.get(driver.foil)
        clip = clips[driver.name]
        known_as = tuple(itertools.product((*driver.names, driver.name), (*self.faces[face.name], face.name)))
        usable = foil if foil and not foil.problem else None
        return Cell(self.name, clip, face, reference=clip, foil=usable, known_as=known_as)

    def _clip_path(self, driver: Driver) -> Path | None:
        """Return the clip's folder or video in its database's folder, under any of its names, or None."""
        database = _child(_child(self.data, ("source_samples",)) or self.data, (driver.folder,))
        path = _child(database, driver.names) if database else None
        return path if path and (is_video(path) or (path.is_dir() and pictures_in(path))) else None

    def _picture_path(self, names: Names) -> Path | None:
        """Return the template's picture under any of its names, from the kit's template folder or its top folder."""
        for folder in (_child(self.data, ("target_template_face",)), self.data):
            path = _child(folder, names) if folder else None
            if path and is_picture(path):
                return path
        return None


def _child(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Return the entry of a folder that has one of the names, ignoring case and extension, or None.

    Earlier names take precedence.
    """
    entries: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        entries.setdefault((path.name if path.is_dir() else path.stem).lower(), path)
    return next((entries[name.lower()] for name in names if name.lower() in entries), None)


def _mention_missing(found: dict[str, Path], portraits: dict[str, Path], chosen: Iterable[str]) -> None:
    """Print a note that names the drivers and templates missing from the kit and counts the cells that need them."""
    faces = list(chosen)
    drivers = [driver for driver in SHEET.drivers if driver.name not in found]
    lacking = [f"{driver.name} ({driver.folder}/{driver.names[0]})" for driver in drivers]
    without = [face for face in faces if face not in portraits]
    if lacking or without:
        total = len(SHEET.drivers) * len(faces)
        missing = total - (len(SHEET.drivers) - len(drivers)) * (len(faces) - len(without))
        named = [
            f"no {what} {', '.join(names)}" for what, names in (("driver", lacking), ("template", without)) if names
        ]
        note(f"the kit is incomplete, so {missing} of {total} cells are missing: {'; '.join(named)}")


def _recording(driver: Driver, path: Path) -> Recording:
    return Recording(
        path,
        driver.name,
        driver.database,
        driver.subject,
        driver.emotion,
        driver.fps,
        driver.action_units,
        recording=driver.recording,
    )


def _coded(driver: Driver, clip: Clip) -> Clip:
    """Return the clip with onset, apex and offset, counted from its first frame, if it has an expected length."""
    expected = driver.offset - driver.onset + 1
    if clip.problem:
        return clip
    if clip.n_frames not in (expected, *driver.lengths):
        note(
            f"{clip.name}: {plural(clip.n_frames, 'frame')}, but the sheet has {expected}: onset, apex and"
            " offset are not set"
        )
        return clip
    apex = driver.apex - driver.onset
    return dataclasses.replace(clip, onset_frame=0, apex_frame=apex, offset_frame=expected - 1)
