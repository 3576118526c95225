"""The thin-plate spline model with relative action units as a method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from megbench.core.clip import Clip, Template
from megbench.core.config import build
from megbench.core.media.frames import Frames, grey
from megbench.core.weights.network_weights import read_weights
from megbench.faces.landmarks import landmarks
from megbench.methods.au_driven import AuDriven
from megbench.methods.au_sources import ActionUnits

if TYPE_CHECKING:
    from torch import nn


class TpsRau(AuDriven):
    """TPS with relative action units. Modes: relative (default), absolute. Option au_source: methods/au_sources.py.

    The template's landmarks are its key points; "absolute" also moves its geometry to the driver's, as published.
    """

    name = "tps_rau"
    modes = ("relative", "absolute")
    demo_network = (
        "it moves the template by what it paints instead of painting it, narrower layers, "
        "hardly any ridge in the splines"
    )

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """All networks. Published weights get the published switches, with action units if they have their planes."""
        from megbench.baselines.tps.inpainting import InpaintingConfig
        from megbench.baselines.tps_rau.model import RauConfig, networks, published

        if settings.get("inpainting", {}).get("displaced"):
            from megbench.taught import tps_rau

            return tps_rau.networks(build(tps_rau.DisplacedRauConfig, settings, "config"))
        if settings or self.is_control:
            return networks(build(RauConfig, settings, "config"))
        entering = read_weights(self.weights).get("inpainting_network", {}).get("up_blocks.0.conv.weight")
        told = entering is None or entering.shape[1] > InpaintingConfig().width(3)
        return networks(published(told))

    def make_animator(self) -> Any:
        """Inference with the loaded networks."""
        from megbench.baselines.tps_rau.model import RauAnimator

        return RauAnimator(self.networks, self.device, self.batch_size)

    def encoded(self, template: Template) -> Any:
        """The template's features and key points. CellFailed without a face."""
        return self.animator.face(template.image, self._landmarks(template.image, f"template {template.name}"))

    def painted(self, template: Template, driver: Clip, units: ActionUnits) -> Frames:
        """The template under what changed since the driver's first frame."""
        from megbench.baselines.tps_rau.model import au_difference

        first = np.broadcast_to(units.intensity[:1], units.intensity.shape)
        points = None
        if self.mode == "absolute":
            points = self.animator.points(self._landmarks(driver.frames()[0], f"driver {driver.name}"))
        frames: Frames = self.animator.animate(self.face(template), au_difference(first, units.intensity), points)
        return frames

    def _landmarks(self, image: Frames, what: str) -> Any:
        return landmarks(grey(image), what)
