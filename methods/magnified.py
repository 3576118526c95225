"""Magnify, animate, de-magnify: `NAME:magnify=K` around a method that receives a driver (docs/magnified.md)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from megbench.core.clip import Cell, Clip, Template, load_clip, save_clip
from megbench.core.errors import BenchError
from megbench.core.files.cache import digest, touch, whole_folder
from megbench.core.files.own_store import own_store
from megbench.core.frames import Frames, check_frames
from megbench.core.provenance import module_of, recipe
from megbench.faces import magnify
from megbench.faces.features import one_at_a_time, seen_clip
from megbench.methods.driving_units import DrivenByUnits

Maker = Callable[[str, Mapping[str, str]], Any]
# Notes for readers of the scores.
PICTURES = (
    "The driver's facial motion was {by} before the method saw it, and the motion of its output, relative to its first"
    " frame, was then {back}; both with the optical flow that scores also use (docs/magnified.md)."
)
UNITS = (
    "The driver's action units were multiplied by {factor:g} and clipped at 5 before the method saw them, and the"
    " motion of its output, relative to its first frame, was then {back} with the optical flow that scores also use"
    " (docs/magnified.md)."
)


def magnifying(name: str, maker: Maker, factor: float) -> Maker:
    """Return a callable that creates the method `name` with motion magnified by `factor`, or unchanged if that is 1.

    Raise BenchError if the method receives no driver, as is the case for controls and outputs made elsewhere.
    """
    if hasattr(maker, "animate_cell"):
        raise _handed_nothing(name, factor)
    return maker if factor == 1 else Magnifying(maker, factor)


def _handed_nothing(name: str, factor: float) -> BenchError:
    return BenchError(
        f"{name}: magnify={factor:g} is impossible, because {name} takes no driver: it is a control or shows outputs"
        " made elsewhere. Leave magnify out, or use it with a method that animates."
    )


@dataclass(frozen=True)
class Magnifying:
    """A callable that creates a method with magnified motion."""

    maker: Maker
    factor: float

    def __call__(self, variant: str, options: Mapping[str, str]) -> Magnified:
        """Return the method. Raise BenchError if the inner method cannot be created."""
        return Magnified(self.maker, self.factor, variant, options)

    @property
    def options(self) -> Any:
        """The options that the inner method's class declares, or None if it declares none."""
        return getattr(self.maker, "options", None)

    @property
    def purpose(self) -> str:
        """The purpose of the inner method's row, or "" if its class does not state one."""
        return getattr(self.maker, "purpose", "")

    @property
    def needs(self) -> str:
        """What a cell must have for the inner method, or "" if its class states no such need."""
        return getattr(self.maker, "needs", "")


class Magnified:
    """A method whose driver's facial motion is multiplied by `factor`, and whose output's motion is divided by it.

    Methods driven by action units receive intensities multiplied by the factor. Everything else comes from the inner
    method.
    """

    def __init__(self, maker: Maker, factor: float, variant: str, options: Mapping[str, str]) -> None:
        self.method, self.factor = maker(variant, options), factor
        self.name, self.variant, self.is_control = self.method.name, self.method.variant, self.method.is_control
        if hasattr(self.method, "animate_cell"):
            raise _handed_nothing(self.name, factor)
        self._code = recipe(module_of(maker))
        self._by_units = isinstance(self.method, DrivenByUnits)
        if self._by_units:
            self.method.strength = factor
        self._own: TemporaryDirectory[str] | None = None

    def identity(self) -> Mapping[str, Any]:
        """Return the inner method's identity and code, the factor and the version of the magnification."""
        done = {"factor": self.factor, "operator": magnify.VERSION, "around": self._code}
        return {**self.method.identity(), "magnify": done}

    @property
    def marks(self) -> dict[str, str]:
        """Notes for readers of the scores: the inner method's marks and the magnification."""
        sentence = UNITS if self._by_units else PICTURES
        told = sentence.format(factor=self.factor, by=_times(self.factor), back=_times(1 / self.factor))
        return {**getattr(self.method, "marks", {}), f"magnified {self.factor:g}x": told}

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return the inner method's marks on these cells."""
        found: dict[str, str] = self._inner("marks_on", dict)(cells)
        return found

    def seen(self) -> Mapping[str, list[str]]:
        """Return what the inner method's model was trained on, or {} if this is unknown."""
        found: Mapping[str, list[str]] = self._inner("seen", dict)()
        return found

    def sources(self, cell: Cell) -> Sequence[Path]:
        """Return the files that the inner method reads for a cell."""
        found: Sequence[Path] = self._inner("sources", list)(cell)
        return found

    def identity_on(self, cell: Cell) -> Mapping[str, Any]:
        """Return whatever else determines the inner method's frames for a cell."""
        found: Mapping[str, Any] = self._inner("identity_on", dict)(cell)
        return found

    def check(self, cell: Cell) -> None:
        """Raise CellFailed or NotSupplied if the inner method raises it."""
        self._inner("check", dict)(cell)

    def check_files(self) -> None:
        """Raise BenchError if the inner method's files cannot be loaded."""
        self._inner("check_files", dict)()

    def prepare(self, device: str) -> None:
        """Prepare the inner method. Motion is magnified on the CPU, whatever the device."""
        self.method.prepare(device)

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise CellFailed if the driver or the output shows no face."""
        frames = self.method.animate(template, driver if self._by_units else self._magnified(driver))
        check_frames(frames, f"Output of {self.name}")
        return magnify.magnified(frames, 1 / self.factor, "the output, whose motion is to be reduced again")

    def _inner(self, name: str, empty: type) -> Callable[..., Any]:
        """Return an optional function of the inner method, or one that returns `empty()` if there is none."""
        return getattr(self.method, name, lambda *_: empty())

    def _magnified(self, driver: Clip) -> Clip:
        """Return the driver with its facial motion magnified.

        The exact motion is then unknown, so `known` is dropped. The driver is created once for all rows: other workers
        wait and then find it in the store.
        """
        clip = seen_clip(f"driver {driver.name}", driver)
        with one_at_a_time(clip):
            how = [self.factor, magnify.VERSION, recipe(magnify.__name__)]
            folder = self._clips() / digest(["magnified", recipe(__name__), driver.state(), how])
            if kept := load_clip(folder):
                touch(folder)
                return kept
            frames = magnify.magnified(clip.frames, self.factor, clip.role)
            with whole_folder(folder, load_clip) as temporary:
                made = save_clip(temporary, dataclasses.replace(driver, rendered=False), frames)
            return dataclasses.replace(made, folder=folder)

    def _clips(self) -> Path:
        """Return the folder of magnified drivers: in the store if there is one, otherwise the method's own folder."""
        if (store := own_store()) is not None:
            return store / "clips"
        self._own = self._own or TemporaryDirectory(prefix="megbench-")
        return Path(self._own.name)


def _times(factor: float) -> str:
    """Return a factor in words: "multiplied by 8", "divided by 4"."""
    return f"multiplied by {factor:g}" if factor >= 1 else f"divided by {1 / factor:g}"
