"""The inpainting network of the thin-plate spline model: a decoder that is handed the warped source at every level.

Source: Zhao and Zhang, CVPR 2022, section 3.4, and the published code.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.config import at_least_one
from nets.blocks import DownBlock, ResBlock, SameBlock, UpBlock, instance_norm
from nets.dense_motion import Motion
from nets.displaced import displaced
from nets.geometry import Sampling, resized_grid, warp, widened


@dataclass(frozen=True)
class InpaintingConfig:
    """Widths; level i has min(max_features, block_expansion * 2^i) channels.

    picture_sampling: how the source's pixels are warped; bilinear as published, which takes up to half of the finest
    detail's contrast wherever motion is half a pixel. displaced: the last maps move the warped source and light it
    (nets/displaced.py) instead of painting a picture that shows where the source is occluded; not published, adds no
    parameters, and is the warped source before training.
    """

    block_expansion: int = 64
    max_features: int = 512
    num_down_blocks: int = 3
    picture_sampling: Sampling = "bilinear"
    displaced: bool = False

    def __post_init__(self) -> None:
        at_least_one(self, "block_expansion", "max_features", "num_down_blocks")

    def width(self, level: int) -> int:
        """Channels of the encoder at a level; 0 is the full resolution."""
        return min(self.max_features, self.block_expansion * 2**level)


class InpaintingNetwork(nn.Module):
    """Encoder, warp, decoder. `planes` channels of condition may be appended before every stage of the decoder."""

    def __init__(self, config: InpaintingConfig, planes: int = 0) -> None:
        super().__init__()
        self.config = config
        widths = [config.width(level) for level in range(config.num_down_blocks + 1)]
        self.first = SameBlock(3, widths[0], kernel=7, norm=instance_norm)
        self.down_blocks = nn.ModuleList(
            DownBlock(fine, coarse, norm=instance_norm) for fine, coarse in itertools.pairwise(widths)
        )
        stages = list(reversed(list(itertools.pairwise(widths))))  # (fine, coarse), coarsest first
        entering = [coarse if step == 0 else 2 * coarse for step, (_, coarse) in enumerate(stages)]
        entering = [channels + planes for channels in entering]
        self.up_blocks = nn.ModuleList(
            UpBlock(channels, fine, norm=instance_norm) for channels, (fine, _) in zip(entering, stages, strict=True)
        )
        self.resblock = nn.ModuleList(ResBlock(channels, norm=instance_norm) for channels in entering for _ in range(2))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)
        self.reads_weights_of = (
            ("final",) if config.displaced else ()
        )  # nets.fast leaves these convolutions as they are
        if config.displaced:
            nn.init.zeros_(self.final.weight)

    def features(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Features of pictures (B, 3, H, W) RGB in [0, 1], finest first: map i is (B, width(i), H/2^i, W/2^i)."""
        maps = [self.first(picture)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def forward(
        self, picture: Tensor, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None
    ) -> Tensor:
        """The source moved and painted: (B, 3, H, W) in [0, 1]; a source of batch 1 serves any batch of motions.

        condition: (B, C) for networks that have one (baselines/tps_rau.py); this one takes none.
        """
        painted = self.paint(features, motion, condition)
        pixels = warped(picture, motion, self.config.picture_sampling)
        if self.config.picture_sampling == "bicubic":
            pixels = pixels.clamp(0, 1)  # it overshoots at edges
        if self.config.displaced:
            return displaced(pixels, painted)
        seen = visible(picture, motion)
        return torch.sigmoid(painted) * (1 - seen) + pixels * seen

    def paint(self, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None) -> Tensor:
        """The three maps that the decoder ends in: (B, 3, H, W), before the sigmoid."""
        x = warped(features[-1], motion) * visible(features[-1], motion)
        for step, skip in enumerate(reversed(features[:-1])):
            x = self.stage(step, x, condition)
            if self.config.displaced and step == len(features) - 2:
                break  # what moves the picture comes from the conditioned decoder alone
            seen = visible(skip, motion)
            kept = (warped(skip, motion) * seen).expand(len(x), -1, -1, -1)  # one motion under several conditions
            x = x * (1 - seen) + kept if step == len(features) - 2 else torch.cat([x, kept], dim=1)
        # What moves the picture must be nothing where the decoder says nothing: no bias.
        maps = F.conv2d(x, self.final.weight, padding=3) if self.config.displaced else self.final(x)
        painted: Tensor = widened(maps)  # bfloat16 is too coarse for pictures
        return painted

    def stage(self, step: int, x: Tensor, condition: Tensor | None) -> Tensor:
        """Two residual blocks and a doubling; `condition` is not used."""
        out: Tensor = self.up_blocks[step](self.resblock[2 * step + 1](self.resblock[2 * step](x)))
        return out


def warped(picture: Tensor, motion: Motion, sampling: Sampling = "bilinear") -> Tensor:
    """A picture or feature map under a motion, at its own resolution: (B, C, h, w), zeros outside."""
    grid = resized_grid(motion.deformation, picture.shape[2], picture.shape[3], align_corners=True)
    return warp(picture, grid, align_corners=True, sampling=sampling)


def visible(picture: Tensor, motion: Motion) -> Tensor:
    """The motion's occlusion at the resolution of `picture`: (B, 1, h, w)."""
    return motion.visible(picture.shape[2], picture.shape[3], align_corners=True)


def warp_targets(
    source: tuple[Tensor, ...], driving: tuple[Tensor, ...], motion: Motion
) -> tuple[list[Tensor], list[Tensor]]:
    """What the warp loss compares, finest first: the source's features moved, and the driving frame's, both masked.

    Only the deformation learns from it: features and masks are taken without their gradients.
    """
    found, wanted = [], []
    for features, target in zip(source, driving, strict=True):
        seen = visible(features, motion).detach()
        found.append(warped(features.detach(), motion) * seen)
        wanted.append(target.detach() * seen)
    return found, wanted
