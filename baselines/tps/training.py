"""The published training procedure of TPS, in two stages: first all networks except the AVD network, then that one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.baselines.tps.inpainting import warp_targets
from megbench.baselines.tps.model import SplineAvd, TpsConfig, TpsGenerator, generator, networks
from megbench.baselines.tps.motion import Dropout
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.draws import each
from megbench.core.recipe import recipe
from megbench.core.weights.network_weights import VGG19
from megbench.nets import losses
from megbench.nets.dense_motion import Motion
from megbench.nets.generator import Encoded
from megbench.nets.objective import PublishedTrainer, appearance_loss
from megbench.nets.thin_plate import ThinPlate

# Poses are stretched along x and y by factors in [1 - STRETCH, 1 + STRETCH], to resemble poses of other faces.
STRETCH = 0.25


class TpsTrainer(PublishedTrainer):
    """The published training procedure of TPS (megbench.core.contracts.Trainable): no adversary.

    A batch contains `source` and `driving`, each (B, 3, 256, 256) float32 in [0, 1]; the two frames of a sample come
    from one video. The sides of pictures must be multiples of 128. Two published defects are not reproduced: in the
    "avd" stage the detector stays in eval mode, whereas the published code lets the detector's batch statistics drift
    and saves them; and the option of a single mask, whose warp loss fails, is omitted. One defect is kept: nothing
    compensates for dropped splines (see `Dropout`). Raises BenchError if the config requires the VGG-19 loss and `vgg`
    does not exist.
    """

    stages: tuple[str, ...] = ("main", "avd")

    def __init__(self, config: TpsConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return the optimisers of a stage.

        "main": one Adam per network, with clipped gradients except for the inpainting network. "avd": a single Adam.
        """
        if stage == "avd":
            avd = self.config.avd
            return {"avd_network": OptimiserSpec(("avd_network",), avd.lr, milestones=avd.milestones)}
        names = [name for name in self._networks if name != "avd_network"]
        return {name: adam(self.config, name) for name in names}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the only phase of the stage."""
        source, driving = batch["source"], batch["driving"]
        if stage == "avd":
            yield self._avd_step(source, driving, each(rng, len(driving)))
            return
        dropout, transform = drawn(self.config, driving, epoch, each(rng, len(driving)))
        yield self.phase(source, driving, epoch, dropout, transform)

    def phase(
        self, source: Tensor, driving: Tensor, epoch: int, dropout: Dropout | None, transform: ThinPlate
    ) -> Phase:
        """Return the phase of the main stage for given random numbers."""
        config, detect = self.config, self._networks["kp_detector"]
        in_source, in_driving = detect(source), detect(driving)
        start = config.background_start
        terms = {}
        background = None
        if start is not None and epoch >= start:
            between = self._networks["bg_predictor"]
            background = between(source, driving)
            both_ways = background @ between(driving, source)
            still = torch.eye(3, device=both_ways.device).expand_as(both_ways)
            terms["bg"] = config.background_weight * F.l1_loss(both_ways, still)
        made = generator(self._networks)
        encoded = made.encode(source)
        motion = made.dense_motion(encoded.small, in_source.value, in_driving.value, background, dropout)
        moved = detect(transform.frame(driving))
        points = in_driving.value, moved.value
        terms |= reconstruction(config, self.vgg, made, encoded, motion, None, driving, points, transform)
        names = ["inpainting_network", "dense_motion_network", "kp_detector"]
        return Phase((*names, "bg_predictor") if background is not None else tuple(names), terms)

    def _avd_step(self, source: Tensor, driving: Tensor, own: Sequence[np.random.Generator]) -> Phase:
        detect = self._networks["kp_detector"].eval()
        with torch.no_grad():
            identity, target = detect(source).value, detect(driving).value
        draws = np.stack([one.random((1, 2)) for one in own])
        factors = torch.from_numpy(1 - STRETCH + 2 * STRETCH * draws).to(target)
        network = self._networks["avd_network"]
        assert isinstance(network, SplineAvd)
        shift = F.l1_loss(network(identity, factors * target), target)
        return Phase(("avd_network",), {"rec_shift": self.config.avd.shift_weight * shift})


def adam(config: TpsConfig, network: str) -> OptimiserSpec:
    """Return the optimiser of one network in the main stage.

    The published code has one Adam for several networks, which is equivalent.
    """
    clip = None if network == "inpainting_network" else config.clip_norm
    return OptimiserSpec(
        (network,),
        config.lr,
        weight_decay=config.weight_decay,
        clip_norm=clip,
        clip_order=math.inf,
        milestones=config.milestones,
    )


def drawn(
    config: TpsConfig, driving: Tensor, epoch: int, own: Sequence[np.random.Generator]
) -> tuple[Dropout | None, ThinPlate]:
    """Draw the random choices of one training step: the splines that it drops and its transform.

    The first is None once dropout has ended. own: one random generator per driving picture.
    """
    probability = config.dropout.probability(epoch)
    dropout = None
    if probability is not None:
        draws = np.stack([one.random(config.num_tps + 1, dtype=np.float32) for one in own])
        dropout = Dropout(torch.from_numpy(draws), probability)
    return dropout, ThinPlate.draw(config.transform, own, driving)


def reconstruction(
    config: TpsConfig,
    vgg: nn.Module | None,
    made: TpsGenerator,
    encoded: Encoded,
    motion: Motion,
    condition: Tensor | None,
    driving: Tensor,
    points: tuple[Tensor, Tensor],
    transform: ThinPlate,
) -> dict[str, Tensor]:
    """Return the weighted losses that TPS shares with TPS with relative action units.

    condition: the decoder's additional input (see InpaintingNetwork). points: those of the driving picture and those of
    the transformed picture, (B, 5K, 2) each.
    """
    prediction = made.inpainting(encoded.picture, encoded.features, motion, condition)
    value = losses.equivariance_value(points[0], points[1], transform)
    return {
        "perceptual": appearance_loss(config.loss, vgg, prediction, driving),
        "equivariance_value": config.loss.equivariance_value * value,
        "warp_loss": config.warp_weight * warp_loss(made, encoded.features, driving, motion),
    }


def warp_loss(made: TpsGenerator, features: tuple[Tensor, ...], driving: Tensor, motion: Motion) -> Tensor:
    """Return the sum over levels of the mean absolute difference of masked features: driving minus warped source.

    Only the flow is trained.
    """
    with torch.no_grad():
        wanted = made.features(driving)
    found, targets = warp_targets(features, wanted, motion)
    return torch.stack([F.l1_loss(f, t) for f, t in zip(found, targets, strict=True)]).sum()


# Settings for training TPS; the defaults are the published ones.
Recipe = recipe({"model": TpsConfig()}, TpsTrainer, networks)
