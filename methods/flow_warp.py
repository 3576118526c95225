"""A method that needs no training: it warps the template by the driver's motion. Three controls are based on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from megbench.core.clip import Cell, Clip, Template
from megbench.core.errors import NotSupplied
from megbench.core.frames import Frames
from megbench.faces.transfer import CarriedMotion, lift_motion, still_face
from megbench.methods.controls import Plain


class FlowWarp(Plain):
    """The template with the driver's motion, as measured by dense flow.

    Head motion is included, as in rendered truths; motion agreement ignores it.
    """

    name = "flow_warp"
    purpose = "the template warped by the driver's measured motion, without learning: what a network has to beat"
    is_control = False

    def prepare(self, device: str) -> None:
        """Do nothing, because there is nothing to load and the method always runs on the CPU."""

    def animate(self, template: Template, driver: Clip) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise CellFailed if the driver or template shows no face."""
        return still_face(template.image).move(lift_motion(driver))


class ApexRamp(Plain):
    """Right place, wrong time: the driver's apex, with a linear rise and fall."""

    name = "apex_ramp"
    purpose = "flow_warp's apex with a linear rise and fall: right place, wrong time"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. If the apex is not coded, use the frame with the largest motion."""
        motion = lift_motion(cell.driver)
        apex = cell.driver.apex_frame
        if apex is None:
            apex = int(np.linalg.norm(motion.expression, axis=(1, 2)).argmax())
        apex = min(apex, len(motion.head) - 1)
        return still_face(cell.template.image).move(_scaled(motion, apex, ramp(len(motion.head), apex)))


class Reversed(Plain):
    """Wrong time: the driver played backwards."""

    name = "reversed"
    purpose = "flow_warp of the driver played backwards: wrong time"

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB; frame 0 is the template at rest."""
        motion = lift_motion(cell.driver)
        backwards = CarriedMotion(motion.expression[::-1], motion.head[::-1])
        return still_face(cell.template.image).move(backwards.from_rest())


class WrongDriver(Plain):
    """Wrong place: another driver, which moves a different part of the face, stretched to the driver's length."""

    name = "wrong_driver"
    purpose = "flow_warp of another expression, scored against this driver: wrong place"
    needs = "foil"

    def check(self, cell: Cell) -> None:
        """Raise NotSupplied if the protocol provides no foil."""
        if cell.foil is None:
            raise NotSupplied("this cell has no foil: the protocol names no driver that moves another part of the face")

    def animate_cell(self, cell: Cell) -> Frames:
        """Return frames uint8 (T, 256, 256, 3) RGB. Raise NotSupplied if the protocol provides no foil."""
        self.check(cell)
        assert cell.foil is not None
        return still_face(cell.template.image).move(_stretched(lift_motion(cell.foil), cell.driver.n_frames))


def ramp(n_frames: int, apex: int) -> npt.NDArray[np.float64]:
    """Return the strength at every frame: 0 at the first, 1 at the apex, 0 at the last, and linear in between."""
    peak = min(max(apex, 1), n_frames - 1)
    return np.interp(np.arange(n_frames), [0, peak, max(n_frames - 1, peak + 1)], [0, 1, 0])


def _scaled(motion: CarriedMotion, apex: int, strength: npt.NDArray[np.float64]) -> CarriedMotion:
    """Return the motion at `apex`, scaled by strengths (T,)."""
    at_rest = np.eye(2, 3)
    scale = strength[:, None, None]
    return CarriedMotion(scale * motion.expression[apex], at_rest + scale * (motion.head[apex] - at_rest))


def _stretched(motion: CarriedMotion, n_frames: int) -> CarriedMotion:
    """Return the motion interpolated linearly in time to another number of frames."""
    at = np.linspace(0, len(motion.head) - 1, n_frames)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(motion.head) - 1)
    share = (at - low)[:, None, None]
    return CarriedMotion(
        *((1 - share) * track[low] + share * track[high] for track in (motion.expression, motion.head))
    )
