"""What the methods share that look for points in the driver's pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from megbench.core.clip import Clip, Template
from megbench.core.media.frames import Frames
from megbench.methods.trained import TrainedMethod

if TYPE_CHECKING:
    from torch import Tensor


class PointDriven(TrainedMethod):
    """A generator whose motion comes from points (or regions) of template and driver; `animator` is
    megbench.nets.inference's.

    A template is encoded once and a driver read once for the cells that share them (cells come driver by driver).
    """

    _driver: tuple[str, Any] | None = None

    @abstractmethod
    def detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """What finds points in the pictures of one clip, whose frame 0 is `image`; `what` names it in errors."""

    def encoded(self, template: Template) -> Any:
        """The template's features and points. CellFailed where a face is needed and none is found."""
        return self.animator.face(template.image, self.detector(template.image, f"template {template.name}"))

    def moved(self, template: Template, driver: Clip) -> Frames:
        """The template, moved as the driver moves. CellFailed where a face is needed and none is found."""
        face = self.face(template)
        if self._driver is None or self._driver[0] != driver.content:
            frames = driver.frames()
            points = self.animator.read(frames, self.detector(frames[0], f"driver {driver.name}"))
            self._driver = (driver.content, points)
        output: Frames = self.animator.animate(face, self._driver[1], driver.n_frames)
        return output
