"""The multi-scale patch discriminator of the FOMM family (least-squares GAN with feature matching)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.core.config import Count, Positive
from megbench.nets.geometry import gaussians


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Settings of the discriminator; block i has min(max_features, block_expansion * 2^(i+1)) channels.

    factors: the factors by which pictures are downsampled (1 = original size). spectral_norm: whether every convolution
    has spectral normalisation. use_kp: whether the Gaussians of the driving key points are appended to the picture's
    channels.
    """

    block_expansion: Count = 32
    max_features: Count = 512
    num_blocks: Count = 4
    factors: tuple[Count, ...] = (1,)
    spectral_norm: bool = False
    use_kp: bool = False
    variance: Positive = 0.01

    def width(self, level: int) -> int:
        """Return the number of channels after block level - 1."""
        return min(self.max_features, self.block_expansion * 2**level)


class Verdict(NamedTuple):
    """A discriminator's output: the features of every block, and a map of scores (1 = real)."""

    features: list[Tensor]
    scores: Tensor


class Block(nn.Module):
    """A 4x4 convolution without padding, instance norm (not in the first), leaky ReLU and pooling (not in the last)."""

    def __init__(self, channels_in: int, channels_out: int, spectral_norm: bool, norm: bool, pool: bool) -> None:
        super().__init__()
        self.conv = _convolution(channels_in, channels_out, 4, spectral_norm)
        self.norm = nn.InstanceNorm2d(channels_out, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Return the features; height and width shrink by 3 pixels and, with pooling, are then halved."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        x = F.leaky_relu(x, 0.2)
        return F.avg_pool2d(x, 2) if self.pool else x


class PatchDiscriminator(nn.Module):
    """A discriminator of overlapping patches of a picture; a 256x256 picture gives a 26x26 map of scores."""

    def __init__(self, config: DiscriminatorConfig, channels_in: int) -> None:
        super().__init__()
        widths = [channels_in, *(config.width(level) for level in range(1, config.num_blocks + 1))]
        last = config.num_blocks - 1
        self.down_blocks = nn.ModuleList(
            Block(widths[i], widths[i + 1], config.spectral_norm, norm=i > 0, pool=i < last)
            for i in range(config.num_blocks)
        )
        self.conv = _convolution(widths[-1], 1, 1, config.spectral_norm)

    def forward(self, x: Tensor) -> Verdict:
        """Return the verdict on pictures (B, C, H, W)."""
        features = []
        for block in self.down_blocks:
            x = block(x)
            features.append(x)
        return Verdict(features, self.conv(x))


class Discriminator(nn.Module):
    """One patch discriminator per scale, registered as `discs.<scale>` ("1", "0-5")."""

    def __init__(self, config: DiscriminatorConfig, num_kp: int) -> None:
        super().__init__()
        self.config = config
        channels_in = 3 + (num_kp if config.use_kp else 0)
        self.discs = nn.ModuleDict(
            {_scale_name(factor): PatchDiscriminator(config, channels_in) for factor in config.factors}
        )

    def forward(self, pyramid: dict[int, Tensor], key_points: Tensor | None = None) -> list[Verdict]:
        """Return one verdict per factor. pyramid: pictures (B, 3, H, W) by factor (see megbench.nets.losses.pyramid).

        key_points: (B, K, 2), required if use_kp is set; they are detached, so that the adversarial loss cannot move
        them.
        """
        verdicts = []
        for factor in self.config.factors:
            x = pyramid[factor]
            if self.config.use_kp:
                assert key_points is not None, "a discriminator with use_kp needs the key points"
                maps = gaussians(key_points.detach(), x.shape[2], x.shape[3], self.config.variance)
                x = torch.cat([x, maps], dim=1)
            verdicts.append(self.discs[_scale_name(factor)](x))
        return verdicts


def _scale_name(factor: int) -> str:
    return "1" if factor == 1 else str(1 / factor).replace(".", "-")


def _convolution(channels_in: int, channels_out: int, kernel: int, spectral_norm: bool) -> nn.Module:
    convolution = nn.Conv2d(channels_in, channels_out, kernel)
    # The published keys weight_orig, weight_u, weight_v are those of torch's first spectral norm.
    return nn.utils.spectral_norm(convolution) if spectral_norm else convolution
