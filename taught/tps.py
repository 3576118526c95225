"""TPS as trained on exact motion (taught/trainer.py).

Its key points are trained to follow fifty points of the face's mesh, unlike in the published training procedure.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from megbench.baselines.tps.model import SplinePoints, TpsConfig, generator, networks, transfer_points
from megbench.core.recipe import recipe
from megbench.taught.losses import point_losses
from megbench.taught.trainer import TaughtConfig, TaughtTrainer, Transferred, followed


class TaughtTps:
    """TPS in relative mode, with three detector calls in one batch and with the background at rest, as in animation."""

    def __init__(self, config: TpsConfig) -> None:
        self.made = networks(config)
        self.generator = generator(self.made)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks needed for relative animation, keyed by their names in published checkpoints."""
        return {name: self.made[name] for name in ("inpainting_network", "dense_motion_network", "kp_detector")}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """Return the batch's motion, transferred to its source; see megbench.taught.trainer.Pupil.

        The detector reads full-size pictures.
        """
        looked_at = torch.cat([batch["source"], batch["initial"], batch["driving"]])
        source, first, driving = self.made["kp_detector"](looked_at).value.chunk(3)
        moved = transfer_points(source, driving, first)
        losses = point_losses((source, first, driving), followed(batch))
        motion = self.generator.motion(small, SplinePoints(source), SplinePoints(moved))
        return Transferred(motion, moved, losses)


# Settings for training TPS on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": TpsConfig(), "taught": TaughtConfig()},
    lambda model, taught: TaughtTrainer(TaughtTps(model), taught),
)
