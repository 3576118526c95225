"""AlexNet's five convolutions as used by LPIPS (Krizhevsky 2014, torchvision's sizes), fast on a CPU.

This file contains the architecture only. Maps are in the channels-last layout, in which pooling is many times faster.
The last three convolutions process small maps (15 x 15 for pictures of 256 x 256), which are individually too small for
nets/winograd.py. The maps of a batch are therefore laid out as one tall map, with lines of zeros below and beside each
map as padding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.nets.winograd import Conv3x3

# At least this many maps are laid out below each other, so that a small batch takes the same path as a large one.
FEWEST = 4


class AlexNet(nn.Module):
    """AlexNet up to its fifth ReLU, frozen. It reuses the five convolutions that are passed to it."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        self.wide = nn.ModuleList(layers[:2])
        self.small = nn.ModuleList(layers[2:])
        for layer in self.small:
            layer.__class__ = Conv3x3
        self.requires_grad_(False).to(memory_format=torch.channels_last)
        for layer in self.small:
            assert isinstance(layer, Conv3x3)
            layer.fix()

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Return the five feature maps of pictures (B, 3, H, W) float32 that are scaled as LPIPS scales them."""
        first, second = self.wide
        maps = [F.relu_(first(pictures.contiguous(memory_format=torch.channels_last)))]
        maps.append(F.relu_(second(F.max_pool2d(maps[0], 3, 2))))
        small = F.max_pool2d(maps[1], 3, 2)
        height, width = small.shape[2:]
        tall = _laid_out(small)
        for layer in self.small:
            tall = F.relu_(layer(tall))
            fields = _fields(tall, height)
            fields[:, height:] = 0
            fields[:, :, width:] = 0
            maps.append(fields[: len(pictures), :height, :width].permute(0, 3, 1, 2))
        return maps


def _laid_out(maps: Tensor) -> Tensor:
    """Return maps (B, C, H, W) laid out below each other as one map (1, C, N H', W'), channels last.

    N is B, but at least FEWEST. H' and W' are the first multiples of 4 above H and W. All added cells are zero.
    """
    height, width = maps.shape[2:]
    count = max(len(maps), FEWEST)
    tall = maps.new_zeros(1, maps.shape[1], count * _side(height), _side(width)).to(memory_format=torch.channels_last)
    _fields(tall, height)[: len(maps), :height, :width] = maps.permute(0, 2, 3, 1)
    return tall


def _fields(tall: Tensor, height: int) -> Tensor:
    """Return a view (N, H', W', C) of a tall map (1, C, N H', W') that contains maps of `height` lines each."""
    return tall[0].permute(1, 2, 0).unflatten(0, (-1, _side(height)))


def _side(length: int) -> int:
    """Return the first multiple of 4 above `length`."""
    return 4 * (length // 4 + 1)
