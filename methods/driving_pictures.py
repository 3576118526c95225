"""Run generators that receive the driver's pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from megbench.core.clip import Clip, Template
from megbench.core.frames import Frames
from megbench.methods.generator import GeneratorMethod

if TYPE_CHECKING:
    from torch import Tensor


class DrivenByPictures(GeneratorMethod):
    """A generator whose motion comes from points (or regions) in the template and the driver (megbench.nets.inference).

    Each template is encoded once, and each driver is read once for all cells that share it, because cells are ordered
    by driver.
    """

    _driver: tuple[str, Any] | None = None

    def encoded(self, template: Template) -> Any:
        """Return the template's features and points. Raise CellFailed if a face is needed but not found."""
        return self.animator.face(template.image, self._detector(template.image, f"template {template.name}"))

    def moved(self, template: Template, driver: Clip) -> Frames:
        """Return the template with the driver's motion. Raise CellFailed if a face is needed but not found."""
        face = self.face(template)
        if self._driver is None or self._driver[0] != driver.content:
            frames = driver.frames()
            points = self.animator.read(frames, self._detector(frames[0], f"driver {driver.name}"))
            self._driver = (driver.content, points)
        output: Frames = self.animator.animate(face, self._driver[1], driver.n_frames)
        return output

    def _detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """Return a function that finds points in a clip's pictures. image: frame 0. what: the clip's name in errors."""
        points = self.landmarks(image, what) if self.generator.landmarks else None
        detector: Callable[[Tensor], Any] = self.model.detector(self.networks, points, self.device)
        return detector
