"""MRAA as trained on exact motion (taught/trainer.py).

Its regions are trained to follow ten points of the face's mesh, unlike in the published training procedure.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from megbench.baselines.mraa.model import MraaConfig, MraaGenerator, networks
from megbench.baselines.mraa.regions import RegionPredictor, transfer_regions
from megbench.core.recipe import recipe
from megbench.taught.losses import point_losses
from megbench.taught.trainer import TaughtConfig, TaughtTrainer, Transferred, followed


class TaughtMraa:
    """MRAA in relative mode without an AVD network; the background is at rest, as it is in animation."""

    def __init__(self, config: MraaConfig) -> None:
        self.recompute_covar = config.recompute_covar
        made = networks(config)
        generator, predictor = made["generator"], made["region_predictor"]
        assert isinstance(generator, MraaGenerator)
        assert isinstance(predictor, RegionPredictor)
        self.generator, self.predictor = generator, predictor

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks needed for relative animation, keyed by their names in published checkpoints."""
        return {"generator": self.generator, "region_predictor": self.predictor}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """Return the batch's motion, transferred to its source; see megbench.taught.trainer.Pupil."""
        driver = self.predictor.down(torch.cat([batch["initial"], batch["driving"]]))
        source, first, driving = self.predictor.detect(torch.cat([small, driver])).chunk(3)
        moved = transfer_regions(source, driving, first, self.recompute_covar)
        losses = point_losses((source.shift, first.shift, driving.shift), followed(batch))
        return Transferred(self.generator.motion(small, source, moved), moved.shift, losses)


# Settings for training MRAA on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": MraaConfig(), "taught": TaughtConfig()},
    lambda model, taught: TaughtTrainer(TaughtMraa(model), taught),
)
