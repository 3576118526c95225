"""FOMM as trained on exact motion (taught/trainer.py).

Its key points are trained to follow ten points of the face's mesh, unlike in the published training procedure.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from megbench.baselines.fomm.model import FommConfig, KeyPointDetector, networks
from megbench.core.recipe import recipe
from megbench.nets.keypoints import KeyPointGenerator
from megbench.nets.transfer import transfer_key_points
from megbench.taught.losses import point_losses
from megbench.taught.trainer import TaughtConfig, TaughtTrainer, Transferred, followed


class TaughtFomm:
    """FOMM with three detector calls merged into one batch and with relative transfer inside the loss."""

    def __init__(self, config: FommConfig) -> None:
        made = networks(config)
        generator, detector = made["generator"], made["kp_detector"]
        assert isinstance(generator, KeyPointGenerator)
        assert isinstance(detector, KeyPointDetector)
        self.generator, self.detector = generator, detector

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks, keyed by their names in published checkpoints. The discriminator is not used."""
        return {"generator": self.generator, "kp_detector": self.detector}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """Return the batch's motion, transferred to its source; see megbench.taught.trainer.Pupil."""
        driver = self.detector.down(torch.cat([batch["initial"], batch["driving"]]))
        source, first, driving = self.detector.detect(torch.cat([small, driver])).chunk(3)
        moved = transfer_key_points(source, driving, first, "relative")
        losses = point_losses((source.value, first.value, driving.value), followed(batch))
        return Transferred(self.generator.motion(small, source, moved), moved.value, losses)


# Settings for training FOMM on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": FommConfig(), "taught": TaughtConfig()},
    lambda model, taught: TaughtTrainer(TaughtFomm(model), taught),
)
