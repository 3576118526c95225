"""What the methods driven by action units share: the option `au_source`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from core.clip import Cell, Clip, Template
from core.errors import CellFailed
from core.frames import Frames
from core.provenance import recipe
from methods.au_sources import LONGEST_GAP, SOURCES, ActionUnits, files_of, interpolates, source
from methods.marks import counted
from methods.trained import TrainedMethod

INTERPOLATED = (
    f"Action units are missing for up to {LONGEST_GAP} of a driver's frames in a row; they are interpolated there."
)


class AuDriven(TrainedMethod):
    """A generator that sees the driver's action units and not its pictures."""

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {"au_source": tuple(SOURCES)}

    def __init__(self, variant: str, options: Mapping[str, str]) -> None:
        super().__init__(variant, options)
        self.au_source = options.get("au_source", "truth")

    def identity(self) -> Mapping[str, Any]:
        """Return the identity of a trained method, with the source of the action units."""
        read = source(self.au_source)
        return {**super().identity(), "au_source": {"name": self.au_source, **recipe(read.__module__)}}

    def sources(self, cell: Cell) -> Sequence[Path]:
        """Return the driver's table of action units, if they come from one."""
        return files_of(self.au_source, cell.driver)

    def marks_on(self, cells: Sequence[Cell]) -> dict[str, str]:
        """Return a mark if drivers of these cells have frames whose action units are interpolated."""
        drivers = {cell.driver.name: cell.driver for cell in cells}
        found = {name for name, driver in drivers.items() if self._interpolates(driver)}
        concerned = sum(cell.driver.name in found for cell in cells)
        return {counted("interpolated", concerned, len(cells)): INTERPOLATED} if concerned else {}

    def _interpolates(self, driver: Clip) -> bool:
        try:
            return interpolates(self.au_source, driver)
        except CellFailed:
            return False  # the cell fails with this reason

    def moved(self, template: Template, driver: Clip) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB. CellFailed where the driver's action units are not to be had."""
        return self.painted(template, driver, source(self.au_source)(driver))

    @abstractmethod
    def painted(self, template: Template, driver: Clip, units: ActionUnits) -> Frames:
        """The template under the driver's action units."""
