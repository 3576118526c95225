"""The thin-plate spline motion model as a method."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from megbench.core.config import build
from megbench.core.errors import BenchError
from megbench.core.media.frames import Frames
from megbench.core.weights.network_weights import network_names
from megbench.methods.point_driven import PointDriven

if TYPE_CHECKING:
    from torch import Tensor, nn

AVD = "avd_network"


class Tps(PointDriven):
    """Thin-Plate Spline Motion Model. Modes: relative (default), avd, standard."""

    name = "tps"
    modes = ("relative", "avd", "standard")
    demo_network = (
        "no background and AVD networks, a narrower ResNet, hardly any ridge in the splines, "
        "bicubic sampling of the template"
    )

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """The generator's two networks, key points and in mode avd the AVD network. BenchError if weights lack it."""
        from megbench.baselines.tps.model import TpsConfig, networks

        if self.mode == "avd" and AVD not in self._stored:
            raise BenchError(f"{self.weights} hold no AVD network. Use tps:mode=relative, or train the stage avd.")
        made = networks(build(TpsConfig, settings, "config"))
        needed = ("inpainting_network", "dense_motion_network", "kp_detector", AVD)
        return {name: made[name] for name in needed if name != AVD or self.mode == "avd"}

    def make_animator(self) -> Any:
        """Inference with the loaded networks."""
        from megbench.baselines.tps.model import animator

        return animator(self.networks, self.mode, self.device, self.batch_size)  # type: ignore[arg-type]

    def detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """The key point detector; it needs no landmarks."""
        return self.networks["kp_detector"]

    @functools.cached_property
    def _stored(self) -> set[str]:
        return network_names(self.weights)
