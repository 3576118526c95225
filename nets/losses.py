"""The losses of the FOMM family as pure functions; every mean is over all elements."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from megbench.core.config import Count
from megbench.nets.blocks import AntiAliasDown
from megbench.nets.discriminator import Verdict
from megbench.nets.geometry import aligned, in_float32, inverse_2x2, product, widened
from megbench.nets.transform import RandomTransform


class PointMap(Protocol):
    """A smooth map of the plane, such as nets.transform.RandomTransform or nets.thin_plate.ThinPlate."""

    def points(self, points: Tensor) -> Tensor:
        """Return the map's values (B, N, 2) at points (B, N, 2), in coordinates [-1, 1]."""


@dataclass(frozen=True)
class LossConfig:
    """Weights of the losses. The defaults are those of FOMM's vox-256; MRAA has the same for the losses that it uses.

    perceptual: "vgg19" (published) or "vgg16", which require their ImageNet weights, or "pyramid", which requires none.
    factors: the scales of the perceptual loss, for all three choices.
    generator_gan: the weight of the adversarial loss; with 0, no discriminator is run.
    equivariance_value: also the weight of MRAA's shift loss.
    equivariance_jacobian: also the weight of MRAA's affine loss.
    """

    perceptual: Literal["vgg19", "vgg16", "pyramid"] = "vgg19"
    perceptual_weight: float = 10.0
    factors: tuple[Count, ...] = (1, 2, 4, 8)
    generator_gan: float = 0.0
    discriminator_gan: float = 1.0
    feature_matching: float = 10.0
    equivariance_value: float = 10.0
    equivariance_jacobian: float = 10.0


# Weights of the parts of `pyramid_distance`: pixels, gradients, structure.
PYRAMID_PARTS = (1.0, 1.0, 0.25)


def pyramid(picture: Tensor, factors: Sequence[int]) -> dict[int, Tensor]:
    """Return the picture (B, 3, H, W) downsampled by each factor with anti-aliasing, keyed by factor."""
    return {factor: _down(picture.shape[1], factor, picture.device, picture.dtype)(picture) for factor in factors}


@functools.lru_cache(maxsize=64)
def _down(channels: int, factor: int, device: torch.device, dtype: torch.dtype) -> AntiAliasDown:
    return AntiAliasDown(channels, factor).to(device, dtype)


def perceptual(
    features: Callable[[Tensor], Sequence[Tensor]], prediction: dict[int, Tensor], target: dict[int, Tensor]
) -> Tensor:
    """Return the sum over scales and feature maps of mean |f(prediction) - f(target)|.

    The target receives no gradient.
    """
    terms = []
    for factor, picture in prediction.items():
        with torch.no_grad():
            wanted = features(target[factor])
        terms += [_l1(found, real) for found, real in zip(features(picture), wanted, strict=True)]
    return torch.stack(terms).sum()


@in_float32
def pyramid_distance(prediction: dict[int, Tensor], target: dict[int, Tensor]) -> Tensor:
    """Return a perceptual loss that requires no weights: L1 + L1 of gradients + (1 - SSIM) / 4, summed over all scales.

    It is meant for machines without VGG weights. SSIM (Wang et al. 2004) is computed over 5x5 boxes.
    """
    pixels, edges, structure = PYRAMID_PARTS
    terms = []
    for factor, picture in prediction.items():
        wanted = target[factor].detach()
        terms.append(pixels * F.l1_loss(picture, wanted))
        for axis in (2, 3):
            terms.append(edges * F.l1_loss(picture.diff(dim=axis), wanted.diff(dim=axis)))
        terms.append(structure * (1 - ssim(picture, wanted)))
    return torch.stack(terms).sum()


@in_float32
def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean structural similarity of pictures (B, C, H, W) in [0, 1] over 5x5 boxes; 1 for equal pictures."""

    def box(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 5, stride=1)

    mean_a, mean_b = box(a), box(b)
    var_a, var_b = box(a * a) - mean_a**2, box(b * b) - mean_b**2
    covariance = box(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2  # the paper's constants for a range of 1
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean()


def _l1(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference, in float32 even under autocast: a bfloat16 mean has only two digits."""
    return F.l1_loss(widened(found), widened(wanted))


def generator_gan(fake: Sequence[Verdict]) -> Tensor:
    """Return the generator's least-squares loss, summed over scales: fake pictures should score 1."""
    return torch.stack([((1 - widened(verdict.scores)) ** 2).mean() for verdict in fake]).sum()


def discriminator_gan(fake: Sequence[Verdict], real: Sequence[Verdict]) -> Tensor:
    """Return the discriminator's least-squares loss, summed over scales: real pictures should score 1, fake ones 0."""
    terms = [((1 - widened(r.scores)) ** 2 + widened(f.scores) ** 2).mean() for f, r in zip(fake, real, strict=True)]
    return torch.stack(terms).sum()


def feature_matching(fake: Sequence[Verdict], real: Sequence[Verdict]) -> Tensor:
    """Return the sum over scales and blocks of mean |F(real) - F(fake)|; real pictures receive no gradient."""
    terms = [
        _l1(found, wanted.detach())
        for f, r in zip(fake, real, strict=True)
        for found, wanted in zip(f.features, r.features, strict=True)
    ]
    return torch.stack(terms).sum()


@in_float32
def equivariance_value(value: Tensor, transformed: Tensor, transform: PointMap) -> Tensor:
    """Return mean |p - T(p_T)| for points (B, K, 2) of a frame and of the transformed frame."""
    return F.l1_loss(value, transform.points(transformed))


@in_float32
def equivariance_jacobian(
    jacobian: Tensor,
    transformed_value: Tensor,
    transformed_jacobian: Tensor,
    transform: RandomTransform,
    revert_axis_swap: bool = False,
) -> Tensor:
    """Return mean |I - J^-1 (dT/dz)(p_T) J_T| for jacobians (B, K, 2, 2) of a frame and of the transformed frame.

    revert_axis_swap (MRAA): whether the product is multiplied by the sign of its first entry, since PCA axes have no
    sign. The gradient also flows through dT/dz to p_T.
    """
    chain = product(inverse_2x2(jacobian), transform.jacobian(transformed_value), transformed_jacobian)
    if revert_axis_swap:
        chain = aligned(chain)
    return F.l1_loss(chain, torch.eye(2, device=chain.device, dtype=chain.dtype).expand_as(chain))
