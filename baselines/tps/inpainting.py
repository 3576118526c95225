"""The inpainting network of the thin-plate spline model: a decoder that receives the warped source at every level.

Source: Zhao and Zhang, CVPR 2022, section 3.4, and the published code.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.core.config import Count
from megbench.nets.blocks import DownBlock, ResBlock, SameBlock, UpBlock, instance_norm
from megbench.nets.dense_motion import Motion
from megbench.nets.geometry import Sampling, resized_grid, warp, widened


@dataclass(frozen=True)
class InpaintingConfig:
    """Settings of the network; level i has min(max_features, block_expansion * 2^i) channels.

    picture_sampling: how the source's pixels are warped. The published sampling, bilinear, removes up to half of the
    contrast of the finest detail wherever the motion is half a pixel.
    """

    block_expansion: Count = 64
    max_features: Count = 512
    num_down_blocks: Count = 3
    picture_sampling: Sampling = "bilinear"

    def width(self, level: int) -> int:
        """Return the number of channels of the encoder at a level; level 0 has the full resolution."""
        return min(self.max_features, self.block_expansion * 2**level)


class InpaintingNetwork(nn.Module):
    """The encoder, the warp and the decoder.

    planes: the number of channels of a condition that are appended to the input of every stage of the decoder.
    """

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

    def features(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return features of pictures (B, 3, H, W) RGB in [0, 1], finest first: (B, width(i), H/2^i, W/2^i)."""
        maps = [self.first(picture)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def forward(
        self, picture: Tensor, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None
    ) -> Tensor:
        """Return the source, moved and repainted: (B, 3, H, W) in [0, 1].

        A source of batch size 1 can be used with any batch of motions. condition: (B, C) for networks that take a
        condition (baselines/tps_rau/model.py); this network takes none.
        """
        painted = self.paint(features, motion, condition)
        seen = visible(picture, motion)
        return torch.sigmoid(painted) * (1 - seen) + self.pixels(picture, motion) * seen

    def pixels(self, picture: Tensor, motion: Motion) -> Tensor:
        """Return the moved source, (B, 3, H, W) in [0, 1], using the sampling in the config."""
        moved = warped(picture, motion, self.config.picture_sampling)
        return moved.clamp(0, 1) if self.config.picture_sampling == "bicubic" else moved  # bicubic overshoots

    def paint(self, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None = None) -> Tensor:
        """Return the decoder's last three maps, (B, 3, H, W), before the sigmoid."""
        x = self.decode(features, motion, condition)
        seen = visible(features[0], motion)
        x = x * (1 - seen) + warped(features[0], motion) * seen
        painted: Tensor = widened(self.final(x))  # bfloat16 is too coarse for pictures
        return painted

    def decode(self, features: tuple[Tensor, ...], motion: Motion, condition: Tensor | None) -> Tensor:
        """Return the decoder's features (B, width(0), H, W) before the source's finest features are added."""
        x = warped(features[-1], motion) * visible(features[-1], motion)
        for step, skip in enumerate(reversed(features[1:-1])):
            x = self.stage(step, x, condition)
            kept = warped(skip, motion) * visible(skip, motion)
            x = torch.cat([x, kept.expand(len(x), -1, -1, -1)], dim=1)  # one motion may serve several conditions
        return self.stage(len(features) - 2, x, condition)

    def stage(self, step: int, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the features after two residual blocks and 2x upsampling; `condition` is not used."""
        out: Tensor = self.up_blocks[step](self.resblock[2 * step + 1](self.resblock[2 * step](x)))
        return out


def warped(picture: Tensor, motion: Motion, sampling: Sampling = "bilinear") -> Tensor:
    """Return a picture or feature map warped by a motion at its own resolution: (B, C, h, w), zeros outside."""
    grid = resized_grid(motion.deformation, picture.shape[2], picture.shape[3], align_corners=True)
    return warp(picture, grid, align_corners=True, sampling=sampling)


def visible(picture: Tensor, motion: Motion) -> Tensor:
    """Return the motion's occlusion at the resolution of `picture`: (B, 1, h, w)."""
    return motion.visible(picture.shape[2], picture.shape[3], align_corners=True)


def warp_targets(
    source: tuple[Tensor, ...], driving: tuple[Tensor, ...], motion: Motion
) -> tuple[list[Tensor], list[Tensor]]:
    """Return what the warp loss compares: masked features of the warped source and of the driving picture.

    Both lists begin with the finest level. The loss trains only the deformation; features and masks are used without
    their gradients.
    """
    found, wanted = [], []
    for features, target in zip(source, driving, strict=True):
        seen = visible(features, motion).detach()
        found.append(warped(features.detach(), motion) * seen)
        wanted.append(target.detach() * seen)
    return found, wanted
