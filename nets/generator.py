"""The generator, split into `encode` (once per template) and `decode` (once per frame)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.core.config import Count
from megbench.nets.blocks import DownBlock, ResBlock, SameBlock, UpBlock
from megbench.nets.dense_motion import DenseMotion, Motion
from megbench.nets.geometry import Sampling, resized_grid, warp, widened


@dataclass(frozen=True)
class GeneratorConfig:
    """Settings of the generator; level i has min(max_features, block_expansion * 2^i) channels.

    skips: whether MRAA's blending of warped source features and pixels by the occlusion map is added, which needs no
        further parameters. False is the published value for FOMM and FPB-FOMM.
    resize_align_corners: how the grid is resized to the pictures' resolution. False, the published value, magnifies a
        warped picture by about 1 %. This is visible only in a generator with skips; otherwise features are warped at
        the grid's resolution.
    picture_sampling: how the source's pixels are warped for the last skip. The published bilinear sampling removes up
        to half of the contrast of the finest detail wherever motion is half a pixel, which is typical of micro-motion.
    """

    block_expansion: Count = 64
    max_features: Count = 512
    num_down_blocks: Count = 2
    num_bottleneck_blocks: Count = 6
    skips: bool = False
    resize_align_corners: bool = False
    picture_sampling: Sampling = "bilinear"

    def width(self, level: int) -> int:
        """Return the number of channels at a level; level 0 is the full resolution."""
        return min(self.max_features, self.block_expansion * 2**level)


@dataclass(frozen=True)
class Encoded:
    """A source picture and its features.

    picture: (B, 3, H, W) RGB in [0, 1]. small: the picture as input to the dense motion network. features: finest
    first.
    """

    picture: Tensor
    small: Tensor
    features: tuple[Tensor, ...]


class Generator(nn.Module):
    """A generator that warps the source's features by a motion and paints the picture (Siarohin et al. 2019, sec. 3.2).

    The motion network is registered first, under `motion_name`, as in published state dicts. Subclasses call that
    network; this class only paints the `Motion` that it is given.
    """

    def __init__(self, config: GeneratorConfig, motion: nn.Module, motion_name: str, align_corners: bool) -> None:
        super().__init__()
        self.config = config
        self.align_corners = align_corners
        self.motion_name = motion_name
        self.add_module(motion_name, motion)
        widths = [config.width(level) for level in range(config.num_down_blocks + 1)]
        self.first = SameBlock(3, widths[0], kernel=7)
        self.down_blocks = nn.ModuleList(DownBlock(fine, coarse) for fine, coarse in itertools.pairwise(widths))
        self.up_blocks = nn.ModuleList(
            UpBlock(coarse, fine) for fine, coarse in reversed(list(itertools.pairwise(widths)))
        )
        self.bottleneck = nn.Sequential()
        for index in range(config.num_bottleneck_blocks):
            self.bottleneck.add_module(f"r{index}", ResBlock(widths[-1]))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def encode(self, picture: Tensor) -> Encoded:
        """Encode a source (B, 3, H, W) RGB in [0, 1], once for all frames."""
        return Encoded(picture, self.small(picture), self.features(picture))

    def small(self, picture: Tensor) -> Tensor:
        """Return the picture as input to the dense motion network: (B, 3, H/4, W/4) with the published factor."""
        motion = self.get_submodule(self.motion_name)
        assert isinstance(motion, DenseMotion)
        small: Tensor = motion.down(picture)
        return small

    def occlusion_biases(self) -> list[Tensor]:
        """Return the bias of the layer that predicts the occlusion map, as a logit of visibility."""
        motion = self.get_submodule(self.motion_name)
        assert isinstance(motion, DenseMotion)
        assert motion.occlusion.bias is not None
        return [motion.occlusion.bias]

    def features(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the features of a source (B, 3, H, W) RGB in [0, 1]: map i is (B, width(i), H/2^i, W/2^i)."""
        maps = [self.first(picture)]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return tuple(maps)

    def decode(self, encoded: Encoded, motion: Motion) -> Tensor:
        """Return the source moved by a motion: (B, 3, H, W) RGB in [0, 1].

        An `encoded` of batch size 1 can be used with any batch of motions. Without skips, the coarsest features are
        warped, masked by the occlusion map and decoded. With skips, the warped source is blended in again at every
        resolution, pixels last: o W(source) + (1 - o) decoded.
        """
        maps = encoded.features if self.config.skips else encoded.features[-1:]
        warped = [self.warped(features, motion) for features in maps]
        visible = [self.occlusion(features, motion) for features in maps]
        x = self.bottleneck(visible[-1] * warped[-1])
        for level, block in enumerate(self.up_blocks, start=1):
            if self.config.skips:
                x = _blend(visible[-level], warped[-level], x)
            x = block(x)
        if self.config.skips:
            x = _blend(visible[0], warped[0], x)
        painted = torch.sigmoid(widened(self.final(x)))  # bfloat16 has only 128 levels between .5 and 1
        if not self.config.skips:
            return painted
        pixels = self.warped(encoded.picture, motion, self.config.picture_sampling)
        if self.config.picture_sampling == "bicubic":
            pixels = pixels.clamp(0, 1)  # bicubic sampling overshoots at edges
        return _blend(self.occlusion(painted, motion), pixels, painted)

    def warped(self, picture: Tensor, motion: Motion, sampling: Sampling = "bilinear") -> Tensor:
        """Return a picture or feature map warped by the motion at its own resolution: (B, C, h, w), zeros outside."""
        grid = resized_grid(motion.deformation, picture.shape[2], picture.shape[3], self.config.resize_align_corners)
        return warp(picture, grid, self.align_corners, sampling=sampling)

    def occlusion(self, features: Tensor, motion: Motion) -> Tensor:
        """Return the occlusion map at the resolution of `features`: (B, 1, h, w)."""
        return motion.visible(features.shape[2], features.shape[3], self.config.resize_align_corners)


def _blend(visible: Tensor, warped: Tensor, painted: Tensor) -> Tensor:
    return torch.lerp(widened(painted), warped, visible)
