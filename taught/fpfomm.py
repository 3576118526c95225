"""FPB-FOMM as trained on exact motion (taught/trainer.py); this training produces the demo weights."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from megbench.core.recipe import recipe
from megbench.fpfomm.model import FpFommConfig, PriorGuidedDetector, networks
from megbench.fpfomm.points import given_points
from megbench.nets.geometry import inverse_2x2, product
from megbench.nets.keypoints import KeyPointGenerator, KeyPoints
from megbench.taught.losses import attention_loss, best_mask_loss, best_matrices, jacobian_loss
from megbench.taught.trainer import TaughtConfig, TaughtTrainer, Transferred


class TaughtFpFomm:
    """FPB-FOMM with a detector that reads only the driver; in relative mode, the source's jacobians cancel out."""

    def __init__(self, config: FpFommConfig, taught: TaughtConfig) -> None:
        self.taught = taught
        made = networks(config)
        generator, detector = made["generator"], made["kp_detector"]
        assert isinstance(generator, KeyPointGenerator)
        assert isinstance(detector, PriorGuidedDetector)
        self.generator, self.detector = generator, detector

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks, keyed by their names in published checkpoints. The discriminator is not used."""
        return {"generator": self.generator, "kp_detector": self.detector}

    def transfer(self, batch: Mapping[str, Tensor], small: Tensor) -> Transferred:
        """Return the batch's motion, transferred to its source; see megbench.taught.trainer.Pupil.

        Both driver frames are processed as one batch by the detector.
        """
        points = given_points(batch["landmarks_driving"]).repeat(2, 1, 1)
        found = self.detector.detect(self.detector.down(torch.cat([batch["initial"], batch["driving"]])), points)
        first, driving = found.chunk(2)
        value = given_points(batch["landmarks"]) * 2 / self.detector.image_size - 1
        change = product(driving.jacobian, inverse_2x2(first.jacobian))
        source = KeyPoints(value, torch.eye(2, device=value.device).expand_as(change))
        motion = self.generator.motion(small, source, KeyPoints(value, change))
        best = best_matrices(value, batch["grid"])
        assert found.heatmap is not None
        losses = {
            "jacobian": jacobian_loss(inverse_2x2(change), best),
            "attention": self.taught.attention_weight * attention_loss(found.heatmap, found.value),
            "mask": self.taught.best_mask_weight
            * best_mask_loss(motion.mask, value, best, batch["grid"], batch["face"]),
        }
        return Transferred(motion, value, losses)


# Settings for training FPB-FOMM on exact motion; the default sizes are the published ones.
Recipe = recipe(
    {"model": FpFommConfig(), "taught": TaughtConfig()},
    lambda model, taught: TaughtTrainer(TaughtFpFomm(model, taught), taught),
)
