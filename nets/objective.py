"""The parts shared by the published training procedures, and the training step of FOMM and FPB-FOMM."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.weights.network_weights import load_vgg16, load_vgg19
from megbench.nets import losses
from megbench.nets.fast import rearrange
from megbench.nets.keypoints import KeyPoints
from megbench.nets.losses import LossConfig
from megbench.nets.transform import RandomTransform, TransformConfig
from megbench.nets.vgg import Vgg16, Vgg19


class PublishedConfig(Protocol):
    """The part of a model's config that concerns its published training procedure."""

    @property
    def loss(self) -> LossConfig:
        """The settings of the losses, including their weights."""

    @property
    def transform(self) -> TransformConfig:
        """The random transform of the equivariance losses."""

    @property
    def lr(self) -> float:
        """The learning rate of every network."""

    @property
    def milestones(self) -> tuple[int, ...]:
        """The epochs after which the learning rate is divided by ten."""


class PublishedTrainer:
    """Base class of the published training procedures: networks, optimisers, the loss's VGG network and the transform.

    Raises BenchError if the config requires a VGG loss whose weights are missing. `vgg` is where the weights of VGG-19
    are looked for first.
    """

    stages: tuple[str, ...] = ("main",)

    def __init__(self, config: PublishedConfig, made: dict[str, nn.Module], vgg: Path) -> None:
        self._published = config
        self._networks = made
        self.vgg = _vgg(config.loss, vgg)

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks, keyed by their names in published checkpoints."""
        return self._networks

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return one Adam optimiser per network, as published; a discriminator that is never run has none."""
        config = self._published
        names = [name for name in self._networks if name != "discriminator" or config.loss.generator_gan]
        return {name: OptimiserSpec((name,), config.lr, milestones=config.milestones) for name in names}

    def judge(self, like: Tensor) -> nn.Module | None:
        """Return the loss's VGG network on the device of `like`, or None if the loss does not use one."""
        return None if self.vgg is None else self.vgg.to(like.device)

    def random_transform(self, driving: Tensor, rng: np.random.Generator) -> RandomTransform:
        """Draw the random transforms of the equivariance losses, one per driving picture."""
        return RandomTransform.draw(self._published.transform, len(driving), rng, driving)


def _vgg(config: LossConfig, vgg19: Path) -> nn.Module | None:
    """Return the network of the perceptual loss, or None for "pyramid"."""
    if config.perceptual == "pyramid":
        return None
    network = load_vgg16(Vgg16()) if config.perceptual == "vgg16" else load_vgg19(vgg19, Vgg19())
    rearrange(network)  # its weights are final
    return network


def pair_step(
    config: LossConfig,
    vgg: nn.Module | None,
    networks: Mapping[str, Any],
    detect: Callable[[Tensor], KeyPoints],
    source: Tensor,
    driving: Tensor,
    transform: RandomTransform,
) -> Iterator[Phase]:
    """Yield the generator's phase, then (with generator_gan) the discriminator's, on pairs (B, 3, H, W) in [0, 1].

    source and driving are frames of one video. The order of the network calls is the published one, since it affects
    batch norm and spectral norm: the detector is called three times, the fake picture is judged before the real one,
    and the discriminator judges the prediction made before the generator's step. vgg: None for the "pyramid" loss.
    """
    generator, discriminator = networks["generator"], networks["discriminator"]
    kp_source, kp_driving = detect(source), detect(driving)
    prediction = generator(source, kp_source, kp_driving)
    terms = {"perceptual": appearance_loss(config, vgg, prediction, driving)}
    if config.generator_gan:
        scales = discriminator.config.factors
        fake = discriminator(losses.pyramid(prediction, scales), kp_driving.value)
        with torch.no_grad():  # the real side has no gradient in feature matching
            real = discriminator(losses.pyramid(driving, scales), kp_driving.value)
        terms["gen_gan"] = config.generator_gan * losses.generator_gan(fake)
        terms["feature_matching"] = config.feature_matching * losses.feature_matching(fake, real)
    # The key points must follow a random transform of the picture (Siarohin et al. 2019, equations 7 to 9).
    moved = detect(transform.frame(driving, generator.align_corners))
    value = losses.equivariance_value(kp_driving.value, moved.value, transform)
    jacobian = losses.equivariance_jacobian(kp_driving.jacobian, moved.value, moved.jacobian, transform)
    terms["equivariance_value"] = config.equivariance_value * value
    terms["equivariance_jacobian"] = config.equivariance_jacobian * jacobian
    yield Phase(("generator", "kp_detector"), terms, {"painted": prediction})
    if config.generator_gan:
        fake = discriminator(losses.pyramid(prediction.detach(), scales), kp_driving.value)
        real = discriminator(losses.pyramid(driving, scales), kp_driving.value)
        game = config.discriminator_gan * losses.discriminator_gan(fake, real)
        yield Phase(("discriminator",), {"disc_gan": game})


def appearance_loss(config: LossConfig, vgg: nn.Module | None, prediction: Tensor, driving: Tensor) -> Tensor:
    """Return the weighted perceptual loss of predictions (B, 3, H, W): by `vgg` or, if it is None, "pyramid"."""
    found, wanted = losses.pyramid(prediction, config.factors), losses.pyramid(driving, config.factors)
    if vgg is None:
        return config.perceptual_weight * losses.pyramid_distance(found, wanted)
    return config.perceptual_weight * losses.perceptual(vgg, found, wanted)
