"""FOMM as a method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from megbench.core.config import build
from megbench.core.media.frames import Frames
from megbench.methods.point_driven import PointDriven

if TYPE_CHECKING:
    from torch import Tensor, nn


class Fomm(PointDriven):
    """First Order Motion Model. Modes: relative with jacobian (default), with scale, without jacobian, absolute."""

    name = "fomm"
    modes = ("relative", "relative_scale", "relative_value", "absolute")
    demo_network = "MRAA's skips, bicubic sampling of the template, narrower layers"

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Generator and key point detector."""
        from megbench.baselines.fomm.model import FommConfig, networks

        made = networks(build(FommConfig, settings, "config"))
        return {name: made[name] for name in ("generator", "kp_detector")}

    def make_animator(self) -> Any:
        """Inference with the loaded networks."""
        from megbench.baselines.fomm.model import animator

        return animator(self.networks, self.mode, self.device, self.batch_size)  # type: ignore[arg-type]

    def detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """The key point detector; it needs no landmarks."""
        return self.networks["kp_detector"]
