"""Run generators that receive the driver's pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from megbench.core.clip import Clip, Template
from megbench.core.frames import Frames
from megbench.core.generator import Generator
from megbench.core.provenance import recipe
from megbench.methods.generator import GeneratorMethod

if TYPE_CHECKING:
    from torch import Tensor

# The module that steadies drivers. It is imported by name, so that it enters only the keys of methods that use it.
STEADY = "megbench.faces.steady"
STEADIED = (
    "Its drivers were steadied before the method saw them: head motion was removed with the optical flow that scores"
    " also use, and noise was reduced by averaging over time (a Gaussian with a standard deviation of two frames, or"
    " less in clips that are short or have fewer than 100 frames per second)."
)


class DrivenByPictures(GeneratorMethod):
    """A generator whose motion comes from points (or regions) in the template and the driver (megbench.nets.inference).

    Each template is encoded once, and each driver is read once for all cells that share it, because cells are ordered
    by driver.
    """

    takes: ClassVar[Mapping[str, tuple[str, ...]]] = {"steady": ("no", "yes")}
    _driver: tuple[tuple[str, float | None], Any] | None = None

    def __init__(self, generator: Generator, variant: str, options: Mapping[str, str]) -> None:
        super().__init__(generator, variant, options)
        self._asked = options.get("steady", "")

    @functools.cached_property
    def steadies(self) -> bool:
        """Whether drivers are steadied: as requested or, by default, as the weights' card says."""
        return self._asked == "yes" if self._asked else bool(self.settings().get("steadied", False))

    def identity(self) -> Mapping[str, Any]:
        """Return the identity of the generator and, if drivers are steadied, the code that does this."""
        return {**super().identity(), "steadied": recipe(STEADY) if self.steadies else None}

    @property
    def marks(self) -> dict[str, str]:
        """Notes for readers of the scores: those on the weights and, if drivers are steadied, on that."""
        return {**super().marks, **({"steadied": STEADIED} if self.steadies else {})}

    def encoded(self, template: Template) -> Any:
        """Return the template's features and points. Raise CellFailed if a face is needed but not found."""
        return self.animator.face(template.image, self._detector(template.image, f"template {template.name}"))

    def moved(self, template: Template, driver: Clip) -> Frames:
        """Return the template with the driver's motion. Raise CellFailed if a face is needed but not found."""
        face = self.face(template)
        key = (driver.content, driver.fps)  # the frame rate decides how a driver is averaged over time
        if self._driver is None or self._driver[0] != key:
            frames = import_module(STEADY).steadied(driver) if self.steadies else driver.frames()
            points = self.animator.read(frames, self._detector(frames[0], f"driver {driver.name}"))
            self._driver = (key, points)
        output: Frames = self.animator.animate(face, self._driver[1], driver.n_frames)
        return output

    def _detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """Return a function that finds points in a clip's pictures. image: frame 0. what: the clip's name in errors."""
        points = self.landmarks(image, what) if self.generator.landmarks else None
        detector: Callable[[Tensor], Any] = self.model.detector(self.networks, points, self.device)
        return detector
