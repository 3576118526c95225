"""MRAA as a method."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from megbench.core.config import build
from megbench.core.errors import BenchError
from megbench.core.media.frames import Frames
from megbench.core.weights.network_weights import card_path, network_names, read_card
from megbench.methods.point_driven import PointDriven

if TYPE_CHECKING:
    from torch import Tensor, nn

AVD = "avd_network"


class Mraa(PointDriven):
    """Motion Representations for Articulated Animation. Modes: avd, relative, standard.

    The default is avd if the weights hold an AVD network that was trained, else relative.
    """

    name = "mraa"
    modes = ("avd", "relative", "standard")
    demo_network = "no background and AVD networks, bicubic sampling of the template, narrower layers"

    @property
    def mode(self) -> str:
        """What was asked for, else avd if the weights hold an AVD network that was trained, else relative."""
        return self._mode or ("avd" if self._has_avd else "relative")

    def build(self, settings: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Generator, region predictor and in mode avd the AVD network. BenchError if the weights do not hold it."""
        from megbench.baselines.mraa.model import MraaConfig, networks

        if self.mode == "avd" and not self._has_avd:
            raise BenchError(
                f"{self.weights} hold no trained AVD network. Use mraa:mode=relative, or train the stage avd."
            )
        made = networks(build(MraaConfig, settings, "config"))
        needed = ("generator", "region_predictor", AVD)
        return {name: made[name] for name in needed if name != AVD or self.mode == "avd"}

    def make_animator(self) -> Any:
        """Inference with the loaded networks."""
        from megbench.baselines.mraa.model import MraaConfig, animator

        config = build(MraaConfig, self.settings(), "config")
        return animator(config, self.networks, self.mode, self.device, self.batch_size)  # type: ignore[arg-type]

    def detector(self, image: Frames, what: str) -> Callable[[Tensor], Any]:
        """The region predictor; it needs no landmarks."""
        return self.networks["region_predictor"]

    @functools.cached_property
    def _has_avd(self) -> bool:
        return AVD in network_names(self.weights) and not self._avd_is_random

    @property
    def _avd_is_random(self) -> bool:
        """Whether the training that made the weights did not come to the AVD network's stage."""
        card = read_card(self.weights) if card_path(self.weights).is_file() else {}
        kept, init = card.get("kept_steps"), card.get("init")
        if not isinstance(kept, dict) or "avd" in kept:
            return False
        return not isinstance(init, dict) or AVD in init.get("fresh_networks", ())
