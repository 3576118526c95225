"""TPS with relative action units, as trained for the demo weights: its output maps move the template.

The network receives no driver. It is trained to move the source by its output maps (taught/displaced.py) instead of
painting a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from megbench.baselines.tps.inpainting import InpaintingConfig
from megbench.baselines.tps.motion import SplineDenseMotion
from megbench.baselines.tps_rau.model import ConditionedInpainting, GivenPoints, RauConfig, generator, given_points
from megbench.core.recipe import recipe
from megbench.nets.dense_motion import Motion
from megbench.nets.geometry import widened
from megbench.taught.displaced import displaced
from megbench.taught.units_trainer import Painting, TaughtUnitsConfig, TaughtUnitsTrainer

# Standard deviation of newly initialised gates for action units of order one.
INITIAL_GATES = 0.5


@dataclass(frozen=True)
class DisplacedInpaintingConfig(InpaintingConfig):
    """Widths as published. `displaced` marks this architecture on the cards of weights."""

    displaced: Literal[True] = True


@dataclass(frozen=True)
class DisplacedRauConfig(RauConfig):
    """TPS with relative action units whose decoder moves the picture; action units always act by modulation."""

    inpainting: DisplacedInpaintingConfig = DisplacedInpaintingConfig()
    condition: Literal["modulation"] = "modulation"


class DisplacedInpainting(ConditionedInpainting):
    """A decoder whose last maps move and brighten the warped source; before training, it returns the warped source.

    The decoder's last features are only multiplied by gates computed from the action units, with no shift added, so
    that equal action units cause no motion. The gates are initialised at random. The state dict has the entries of the
    published network.
    """

    reads_weights_of = ("final",)  # megbench.nets.fast leaves these convolutions unchanged

    def __init__(self, config: InpaintingConfig) -> None:
        super().__init__(config, "modulation")
        assert self.modulation is not None
        nn.init.zeros_(self.final.weight)
        nn.init.normal_(self.modulation[-1].weight, 0, INITIAL_GATES)  # type: ignore[arg-type]

    def forward(
        self, picture: Tensor, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None
    ) -> Tensor:
        """Return the source moved and brightened: (B, 3, H, W) in [0, 1]."""
        painted = self.paint(features, motion, condition)
        return displaced(self.pixels(picture, motion), painted)

    def paint(self, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None) -> Tensor:
        """Return the three maps that move the picture, (B, 3, H, W), from the conditioned decoder alone."""
        x = self.decode(features, motion, condition)
        # Without a bias: the maps must be 0 if the decoder's features are.
        return widened(F.conv2d(x, self.final.weight, padding=3))

    def enlarged(self, step: int, y: Tensor, condition: Tensor) -> Tensor:
        """Return the modulated features of an upsampling block; the last features are gated."""
        if step < self.config.num_down_blocks - 1:
            return super().enlarged(step, y, condition)
        gates, _ = self.scale_and_shift(3 * step + 2, condition)
        return F.relu(y) * gates


def networks(config: DisplacedRauConfig) -> dict[str, nn.Module]:
    """Return the networks of a configuration with fresh weights, keyed by their names in published checkpoints."""
    return {
        "inpainting_network": DisplacedInpainting(config.inpainting),
        "dense_motion_network": SplineDenseMotion(config.dense_motion, config.num_tps, config.ridge),
        "kp_detector": GivenPoints(config.points, config.image_size),
    }


class TaughtRau:
    """TPS with relative action units; it animates the source by the difference in units between two states."""

    def __init__(self, config: DisplacedRauConfig) -> None:
        self.made = networks(config)
        self.generator = generator(self.made)

    def networks(self) -> dict[str, nn.Module]:
        """Return all networks, keyed by their names in published checkpoints."""
        return self.made

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """Paint the batch's source; see megbench.taught.units_trainer.UnitsPupil."""
        points = self.made["kp_detector"](given_points(batch["landmarks"]))
        encoded = self.generator.encode(batch["source"])
        motion = self.generator.motion(encoded.small, points, points)
        change = batch["action_units_target"] - batch["action_units_source"]
        maps = self.generator.inpainting.paint(encoded.features, motion, change)
        return Painting(maps, displaced(encoded.picture, maps), batch["target"])


# Settings for training TPS with relative action units on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": DisplacedRauConfig(), "taught": TaughtUnitsConfig()},
    lambda model, taught: TaughtUnitsTrainer(TaughtRau(model), taught),
)
