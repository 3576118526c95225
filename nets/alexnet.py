"""AlexNet's five convolutions as LPIPS uses them (Krizhevsky 2014, torchvision's sizes), fast on a CPU.

This file holds the architecture only. Maps lie channels last, where pooling is many times as fast. The last three
convolutions are of maps of 15 x 15, too small for nets/winograd.py one by one: a batch of them is laid out as one tall
map, with a line of zeros below and beside each, which stands for the padding between neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.nets.winograd import Conv3x3

# Sides of the last maps of pictures of 256 x 256, and of the squares that they lie in.
SMALL, SQUARE = 15, 16
# So many squares at least are laid below each other, so that few pictures take the way that many take.
FEWEST = 4


class AlexNet(nn.Module):
    """AlexNet up to its fifth ReLU, frozen; made of its five convolutions, which become this module's own."""

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
        """Return five feature maps of pictures (B, 3, 256, 256) float32, scaled as LPIPS scales them."""
        first, second = self.wide
        maps = [F.relu_(first(pictures.contiguous(memory_format=torch.channels_last)))]
        maps.append(F.relu_(second(F.max_pool2d(maps[0], 3, 2))))
        tall = _laid_out(F.max_pool2d(maps[1], 3, 2))
        for layer in self.small:
            tall = F.relu_(layer(tall))
            squares = _squares(tall)
            squares[:, SMALL:] = 0
            squares[:, :, SMALL:] = 0
            maps.append(squares[: len(pictures), :SMALL, :SMALL].permute(0, 3, 1, 2))
        return maps


def _laid_out(maps: Tensor) -> Tensor:
    """Return maps (B, C, 15, 15) below each other, with zeros between: (1, C, 16 B, 16), channels last."""
    count = max(len(maps), FEWEST)
    tall = maps.new_zeros(1, maps.shape[1], SQUARE * count, SQUARE).to(memory_format=torch.channels_last)
    _squares(tall)[: len(maps), :SMALL, :SMALL] = maps.permute(0, 2, 3, 1)
    return tall


def _squares(tall: Tensor) -> Tensor:
    """Return a view of a tall map (1, C, 16 B, 16) as its squares, (B, 16, 16, C)."""
    return tall[0].permute(1, 2, 0).unflatten(0, (-1, SQUARE))
