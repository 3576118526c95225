"""A training step of FOMM and FPB-FOMM as published, read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from nets import losses
from nets.keypoints import KeyPoints
from nets.losses import LossConfig
from nets.transform import RandomTransform

# Names of networks to step, and the weighted losses to step them by.
Side = tuple[tuple[str, ...], dict[str, Tensor]]


def pair_step(
    config: LossConfig,
    vgg: nn.Module | None,
    networks: Mapping[str, Any],
    detect: Callable[[Tensor], KeyPoints],
    source: Tensor,
    driving: Tensor,
    transform: RandomTransform,
) -> Iterator[Side]:
    """The generator's side, then (with generator_gan) the discriminator's, of pairs (B, 3, H, W) in [0, 1].

    source and driving are frames of one video. The order of the network calls is the published one, since batch norm
    and spectral norm see it: the detector is called three times, the fake is judged before the real, and the
    discriminator judges the prediction made before the generator's step. vgg None: the "pyramid" loss.
    """
    generator, discriminator = networks["generator"], networks["discriminator"]
    kp_source, kp_driving = detect(source), detect(driving)
    prediction = generator(source, kp_source, kp_driving)
    terms = {"perceptual": appearance_loss(config, vgg, prediction, driving)}
    if config.generator_gan:
        scales = discriminator.config.factors
        fake = discriminator(losses.pyramid(prediction, scales), kp_driving.value)
        real = discriminator(losses.pyramid(driving, scales), kp_driving.value)
        terms["gen_gan"] = config.generator_gan * losses.generator_gan(fake)
        terms["feature_matching"] = config.feature_matching * losses.feature_matching(fake, real)
    # The key points must follow a random transform of the picture (Siarohin et al. 2019, equations 7 to 9).
    moved = detect(transform.frame(driving, generator.align_corners))
    value = losses.equivariance_value(kp_driving.value, moved.value, transform)
    jacobian = losses.equivariance_jacobian(kp_driving.jacobian, moved.value, moved.jacobian, transform)
    terms["equivariance_value"] = config.equivariance_value * value
    terms["equivariance_jacobian"] = config.equivariance_jacobian * jacobian
    yield ("generator", "kp_detector"), terms
    if config.generator_gan:
        fake = discriminator(losses.pyramid(prediction.detach(), scales), kp_driving.value)
        real = discriminator(losses.pyramid(driving, scales), kp_driving.value)
        yield ("discriminator",), {"disc_gan": config.discriminator_gan * losses.discriminator_gan(fake, real)}


def appearance_loss(config: LossConfig, vgg: nn.Module | None, prediction: Tensor, driving: Tensor) -> Tensor:
    """The weighted perceptual loss, "vgg19" or "pyramid", of predictions (B, 3, H, W) against driving pictures."""
    found, wanted = losses.pyramid(prediction, config.factors), losses.pyramid(driving, config.factors)
    if vgg is None:
        return config.perceptual_weight * losses.pyramid_distance(found, wanted)
    return config.perceptual_weight * losses.perceptual(vgg, found, wanted)
