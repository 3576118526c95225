"""The contender without training: the template warped by the driver's facial motion; and three controls made of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from core.clip import Cell, Clip, Template
from core.errors import CellFailed
from core.frames import Frames, grey
from faces.landmarks import landmarks
from faces.seen import SeenClip
from faces.transfer import Performance, Performer, read_performance
from methods.controls import Plain

# Makes up for what the two blurs of the measured motion take.
GAIN = 1.15


class FlowWarp(Plain):
    """The template repeats what dense flow saw the driver do: expression and head."""

    name = "flow_warp"
    is_control = False

    def prepare(self, device: str) -> None:
        """Nothing to load; runs on the processor whatever the device."""

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB. CellFailed without a face in driver or template."""
        return _perform(template, _performance(driver))


class ApexRamp(Plain):
    """Right place, wrong time: the driver's apex, linear up and down."""

    name = "apex_ramp"

    def animate_cell(self, cell: Cell) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB; without a coded apex, that of the largest motion is taken."""
        performance = _performance(cell.driver)
        apex = cell.driver.apex_frame
        if apex is None:
            apex = int(np.linalg.norm(performance.expression, axis=(1, 2)).argmax())
        return _perform(cell.template, _scaled(performance, apex, ramp(len(performance.head), apex)))


class Reversed(Plain):
    """Wrong time: the driver played backwards."""

    name = "reversed"

    def animate_cell(self, cell: Cell) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB; frame 0 is the template at rest."""
        performance = _performance(cell.driver)
        backwards = Performance(performance.expression[::-1], performance.head[::-1])
        return _perform(cell.template, backwards.from_rest())


class WrongDriver(Plain):
    """Wrong place: another driver, which moves another part of the face, stretched to the driver's length."""

    name = "wrong_driver"

    def animate_cell(self, cell: Cell) -> Frames:
        """Frames uint8 (T, 256, 256, 3) RGB. CellFailed where the protocol names no foil."""
        if cell.foil is None:
            raise CellFailed("this cell has no foil: the protocol names no driver that moves another part of the face")
        return _perform(cell.template, _stretched(_performance(cell.foil), cell.driver.n_frames))


def ramp(n_frames: int, apex: int) -> npt.NDArray[np.float64]:
    """Strength at every frame: 0 at the first, 1 at the apex, 0 at the last, linear between."""
    peak = min(max(apex, 1), n_frames - 1)
    return np.interp(np.arange(n_frames), [0, peak, max(n_frames - 1, peak + 1)], [0, 1, 0])


def _performance(driver: Clip) -> Performance:
    return read_performance(SeenClip("driver", driver.frames, driver.content, None), GAIN)


def _perform(template: Template, performance: Performance) -> Frames:
    points = landmarks(grey(template.image[None])[0], "template")
    return Performer(template.image, points).perform(performance)


def _scaled(performance: Performance, apex: int, strength: npt.NDArray[np.float64]) -> Performance:
    """The moment `apex` at other strengths (T,)."""
    at_rest = np.eye(2, 3)
    scale = strength[:, None, None]
    return Performance(scale * performance.expression[apex], at_rest + scale * (performance.head[apex] - at_rest))


def _stretched(performance: Performance, n_frames: int) -> Performance:
    """Linear in time to another number of frames."""
    at = np.linspace(0, len(performance.head) - 1, n_frames)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(performance.head) - 1)
    share = (at - low)[:, None, None]
    return Performance(
        *((1 - share) * track[low] + share * track[high] for track in (performance.expression, performance.head))
    )
