"""Run generators that receive the driver's action units, and read their option `au_source`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from megbench.core.clip import Cell, Clip, Template
from megbench.core.errors import CellFailed
from megbench.core.frames import Frames
from megbench.core.generator import Generator
from megbench.core.provenance import recipe
from megbench.methods.au_sources import (
    LONGEST_GAP,
    SOURCES,
    ActionUnits,
    check,
    chosen,
    clipped_frames,
    files_of,
    interpolates,
    known_units,
    source,
    stronger,
)
from megbench.methods.generator import GeneratorMethod
from megbench.methods.marks import FROM_FLOW, counted

INTERPOLATED = (
    f"Action units are missing in up to {LONGEST_GAP} consecutive frames of a driver and are interpolated there."
)
ESTIMATED = (
    "Its action units are estimated from the driver's optical flow, which is also used to score outputs: the method's"
    " input and its score share one flow. This is not so with au_source=openface and au_source=table."
)
CLIPPED = (
    "Intensities end at 5. Multiplied intensities above that are clipped: in these frames the expression is weaker than"
    " requested, and its course has a different shape."
)


class DrivenByUnits(GeneratorMethod):
    """A generator that receives the driver's action units but not its pictures.

    strength: the factor by which intensities are multiplied before they are clipped.
    """

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {"au_source": tuple(SOURCES)}

    def __init__(self, generator: Generator, variant: str, options: Mapping[str, str]) -> None:
        super().__init__(generator, variant, options)
        self.asked = options.get("au_source", "")
        self.strength = 1.0

    def identity(self) -> Mapping[str, Any]:
        """Return the identity of the generator and the source of the action units."""
        return {**super().identity(), "au_source": self.asked or "truth of rendered clips, flow of recordings"}

    def identity_on(self, cell: Cell) -> Mapping[str, Any]:
        """Return what determines the driver's action units apart from its files: their source and the source's code."""
        name = chosen(self.asked, cell.driver)
        return {"au_source": {"name": name, **recipe(source(name).__module__)}}

    def sources(self, cell: Cell) -> Sequence[Path]:
        """Return the files of the driver's table of action units, or [] if the units do not come from a table."""
        return files_of(chosen(self.asked, cell.driver), cell.driver)

    def check(self, cell: Cell) -> None:
        """Raise CellFailed if the driver's action units are not available."""
        check(chosen(self.asked, cell.driver), cell.driver)

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return marks if the action units of these cells' drivers are estimated from flow, interpolated or clipped."""
        drivers = {cell.driver.name: cell.driver for cell in cells}
        marks: dict[str, str] = {}
        for word, sentence, is_so in (
            (FROM_FLOW, ESTIMATED, self._estimates),
            ("interpolated", INTERPOLATED, self._interpolates),
        ):
            found = {name for name, driver in drivers.items() if is_so(driver)}
            concerned = sum(cell.driver.name in found for cell in cells)
            marks |= {counted(word, concerned, len(cells)): sentence} if concerned else {}
        return marks | (self._clipping_mark(list(drivers.values())) if self.strength != 1 else {})

    def units(self, driver: Clip) -> ActionUnits:
        """Return the driver's action units. Raise CellFailed if they are not available."""
        return stronger(source(chosen(self.asked, driver))(driver), self.strength)

    def _clipping_mark(self, drivers: Sequence[Clip]) -> dict[str, str]:
        """Return a mark with the number of frames in which a multiplied intensity is clipped, or {} if there are none.

        Drivers whose units have not been read yet or cannot be read are not counted.
        """
        found = [units for driver in drivers if (units := known_units(chosen(self.asked, driver), driver))]
        clipped = sum(clipped_frames(units, self.strength) for units in found)
        frames = sum(len(units.intensity) for units in found)
        return {f"units clipped in {clipped} of {frames} frames": CLIPPED} if clipped else {}

    def _estimates(self, driver: Clip) -> bool:
        return chosen(self.asked, driver) == "flow"

    def _interpolates(self, driver: Clip) -> bool:
        try:
            return interpolates(chosen(self.asked, driver), driver)
        except CellFailed:
            return False  # the cell fails with this reason

    def encoded(self, template: Template) -> Any:
        """Return the template as encoded by the animator. Raise CellFailed if a face is needed but not found."""
        points = self.landmarks(template.image, f"template {template.name}") if self.generator.landmarks else None
        return self.animator.face(template.image, points)

    def moved(self, template: Template, driver: Clip) -> Frames:
        """Return the template animated by the driver's action units. Raise CellFailed if these are not available."""
        units = self.units(driver)
        points = None
        if self.generator.modes[self.mode].driver_landmarks:
            points = self.landmarks(driver.frames()[0], f"driver {driver.name}")
        frames: Frames = self.animator.follow(self.face(template), units.intensity, units.presence, points)
        return frames
