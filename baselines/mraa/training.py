"""The published training procedure of MRAA, in two stages: first all networks except the AVD network, then that one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from megbench.baselines.mraa.model import MraaConfig, networks
from megbench.baselines.mraa.regions import Regions
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.draws import each
from megbench.core.recipe import recipe
from megbench.core.weights.network_weights import VGG19
from megbench.nets import losses
from megbench.nets.geometry import product
from megbench.nets.objective import PublishedTrainer, appearance_loss
from megbench.nets.transform import RandomTransform

# Poses are stretched along x and y by factors in [1 - STRETCH, 1 + STRETCH], to resemble poses of other faces.
STRETCH = 0.25


class MraaTrainer(PublishedTrainer):
    """The published training procedure of MRAA (megbench.core.contracts.Trainable): no adversary, one Adam per stage.

    A batch contains `source` and `driving`, each (B, 3, 256, 256) float32 in [0, 1]; the two frames of a sample come
    from one video. One published defect is not reproduced: in the "avd" stage the region predictor stays in eval mode,
    whereas the published code lets the predictor's batch statistics drift and saves them. Raises BenchError if the
    config requires the VGG-19 loss and `vgg` does not exist.
    """

    stages: tuple[str, ...] = ("main", "avd")

    def __init__(self, config: MraaConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return the optimiser of a stage.

        "main": the generator, region predictor and background predictor together. "avd": the AVD network.
        """
        config = self.config
        if stage == "avd":
            return {"avd": OptimiserSpec(("avd_network",), config.avd.lr, milestones=config.avd.milestones)}
        trained = ("generator", "region_predictor", "bg_predictor")
        return {"reconstruction": OptimiserSpec(trained, config.lr, milestones=config.milestones)}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the only phase of the stage."""
        source, driving = batch["source"], batch["driving"]
        if stage == "avd":
            yield self._avd_step(source, driving, rng)
        else:
            yield self._main_step(source, driving, self.random_transform(driving, rng))

    def _main_step(self, source: Tensor, driving: Tensor, transform: RandomTransform) -> Phase:
        weights, detect = self.config.loss, self._networks["region_predictor"]
        in_source, in_driving = detect(source), detect(driving)
        background = self._networks["bg_predictor"](source, driving)
        prediction = self._networks["generator"](source, in_source, in_driving, background)
        moved = detect(transform.frame(driving, self.config.align_corners))
        shift = losses.equivariance_value(in_driving.shift, moved.shift, transform)
        affine = losses.equivariance_jacobian(
            in_driving.affine, moved.shift, moved.affine, transform, self.config.revert_axis_swap
        )
        terms = {
            "perceptual": appearance_loss(weights, self.judge(driving), prediction, driving),
            "equivariance_shift": weights.equivariance_value * shift,
            "equivariance_affine": weights.equivariance_jacobian * affine,
        }
        return Phase(("reconstruction",), terms, {"painted": prediction})

    def _avd_step(self, source: Tensor, driving: Tensor, rng: np.random.Generator) -> Phase:
        detect = self._networks["region_predictor"].eval()
        with torch.no_grad():
            identity, target = detect(source), detect(driving)
        return self.avd_phase(identity, target, self._draws(driving, rng))

    @staticmethod
    def _draws(driving: Tensor, rng: np.random.Generator) -> Tensor:
        drawn = np.stack([own.random(2) for own in each(rng, len(driving))])
        return torch.from_numpy(drawn).to(driving, non_blocking=True)

    def avd_phase(self, identity: Regions, target: Regions, draws: Tensor) -> Phase:
        """Return the phase of the "avd" stage for regions that have already been found.

        The AVD network rebuilds `target` from its stretched pose. draws: see `stretched`.
        """
        rebuilt = self._networks["avd_network"](identity, stretched(target, draws))
        return Phase(("avd",), avd_losses(rebuilt, target))


def stretched(regions: Regions, draws: Tensor) -> Regions:
    """Return regions scaled along x and y by 0.75 + 0.5 draws.

    draws: (B, 2) in [0, 1], one pair per sample.
    """
    factors = 1 - STRETCH + 2 * STRETCH * draws  # B 2
    affine = product(torch.diag_embed(factors)[:, None], regions.affine)
    covar = product(affine, affine.transpose(-1, -2))
    return Regions(regions.shift * factors[:, None], affine, covar)


def avd_losses(rebuilt: Regions, target: Regions) -> dict[str, Tensor]:
    """Return the mean absolute errors of shift and affine; the AVD network must undo the stretching."""
    return {
        "rec_shift": F.l1_loss(rebuilt.shift, target.shift),
        "rec_affine": F.l1_loss(rebuilt.affine, target.affine),
    }


# Settings for training MRAA; the defaults are the published ones.
Recipe = recipe({"model": MraaConfig()}, MraaTrainer, networks)
