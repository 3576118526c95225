"""FPB-FOMM, the paper's method, as a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from megbench.core.config import build
from megbench.core.media.frames import Frames, grey
from megbench.faces.landmarks import landmarks
from megbench.methods.point_driven import PointDriven

if TYPE_CHECKING:
    from torch import Tensor, nn


class FpFomm(PointDriven):
    """Facial Prior Based FOMM. Modes: relative with jacobian (default), absolute.

    Template and the driver's frame 0 must show a face, else the cell fails.
    """

    name = "fpfomm"
    modes = ("relative", "absolute")
    demo_network = "MRAA's skips, bicubic sampling of the template, narrower layers"

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Generator and prior-guided detector."""
        from megbench.fpfomm.model import FpFommConfig, networks

        made = networks(build(FpFommConfig, settings, "config"))
        return {name: made[name] for name in ("generator", "kp_detector")}

    def make_animator(self) -> Any:
        """Inference with the loaded networks."""
        from megbench.fpfomm.model import animator

        return animator(self.networks, self.mode, self.device, self.batch_size)  # type: ignore[arg-type]

    def detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """The detector at the given points of frame 0, with one prior map for the clip."""
        from megbench.fpfomm.model import PriorGuidedDetector, clip_detector

        network = self.networks["kp_detector"]
        assert isinstance(network, PriorGuidedDetector)
        return clip_detector(network, landmarks(grey(image), what), self.device)
