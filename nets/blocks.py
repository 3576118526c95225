"""Convolution blocks shared by the generators, key point detectors and dense motion networks of the FOMM family.

`norm` takes a number of channels and returns a normalisation layer: batch norm in FOMM, FPB-FOMM and MRAA, and
`instance_norm` in TPS. The names and order of attributes are those of the published checkpoints, so that published
state dicts load unchanged.

Source: Siarohin et al., First Order Motion Model for Image Animation, NeurIPS 2019, supplementary material.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.core.config import Count

Norm = Callable[[int], nn.Module]


def instance_norm(channels: int) -> nn.Module:
    """Return an instance norm with learnt scale and shift; it behaves the same in training and evaluation."""
    return nn.InstanceNorm2d(channels, affine=True)


class SameBlock(nn.Module):
    """Convolution, norm and ReLU at unchanged resolution: (B, cin, H, W) -> (B, cout, H, W)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.norm = norm(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features after the ReLU."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class DownBlock(SameBlock):
    """A SameBlock followed by average pooling: (B, cin, H, W) -> (B, cout, H/2, W/2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features at half the resolution."""
        return F.avg_pool2d(super().forward(x), 2)


class UpBlock(SameBlock):
    """Nearest-neighbour 2x upsampling followed by a SameBlock: (B, cin, H, W) -> (B, cout, 2H, 2W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return features at twice the resolution."""
        return super().forward(F.interpolate(x, scale_factor=2))


class ResBlock(nn.Module):
    """A pre-activation residual block: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = norm(channels)
        self.norm2 = norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the input plus the residual."""
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        return x + y


@dataclass(frozen=True)
class HourglassConfig:
    """Widths of an hourglass: level i, from 0 to num_blocks, has min(max_features, block_expansion * 2^i) channels."""

    block_expansion: Count = 32
    max_features: Count = 1024
    num_blocks: Count = 5

    def width(self, level: int) -> int:
        """Return the number of channels at a level; level 0 is the output."""
        return min(self.max_features, self.block_expansion * 2**level)


class Encoder(nn.Module):
    """The downward path of an hourglass; it returns all maps, from the finest (the input itself) to the coarsest."""

    def __init__(self, config: HourglassConfig, channels_in: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        widths = [channels_in, *(config.width(level) for level in range(1, config.num_blocks + 1))]
        self.down_blocks = nn.ModuleList(
            DownBlock(fine, coarse, norm=norm) for fine, coarse in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return num_blocks + 1 maps; map i is (B, width(i), H/2^i, W/2^i), and map 0 is the input."""
        maps = [x]
        for block in self.down_blocks:
            maps.append(block(maps[-1]))
        return maps


class Decoder(nn.Module):
    """The upward path of an hourglass: after each 2x upsampling, the encoder's map of that resolution is appended."""

    def __init__(self, config: HourglassConfig, channels_in: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for level in reversed(range(config.num_blocks)):
            doubled = 1 if level == config.num_blocks - 1 else 2
            blocks.append(UpBlock(doubled * config.width(level + 1), config.width(level), norm=norm))
        self.up_blocks = nn.ModuleList(blocks)
        self.channels_out = config.width(0) + channels_in

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return the finest map (B, width(0) + cin, H, W), decoded from the encoder's maps."""
        return self.maps(maps)[-1]

    def maps(self, encoded: list[Tensor]) -> list[Tensor]:
        """Return num_blocks maps decoded from those of the encoder, coarsest first.

        Level i is (B, width(i) + the encoder's channels, H/2^i, W/2^i).
        """
        found = [encoded[-1]]
        for block, skip in zip(self.up_blocks, reversed(encoded[:-1]), strict=True):
            found.append(torch.cat([block(found[-1]), skip], dim=1))
        return found[1:]


class Hourglass(nn.Module):
    """An encoder and a decoder with skip connections: (B, cin, H, W) -> (B, block_expansion + cin, H, W).

    H and W must be multiples of 2^num_blocks.
    """

    def __init__(self, config: HourglassConfig, channels_in: int, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        self.encoder = Encoder(config, channels_in, norm)
        self.decoder = Decoder(config, channels_in, norm)
        self.channels_out = self.decoder.channels_out

    def forward(self, x: Tensor) -> Tensor:
        """Return features at the input's resolution."""
        out: Tensor = self.decoder(self.encoder(x))
        return out


def perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    """Return linear layers of the given widths, (B, first) -> (B, last), with batch norm and ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


class AntiAliasDown(nn.Module):
    """Downsampling by an integer factor: a Gaussian of sigma (factor - 1) / 2, then pixels 0, factor, 2 factor ...

    (B, C, H, W) -> (B, C, ceil(H / factor), ceil(W / factor)). Blur and subsampling are one strided convolution with
    zero padding. With factor 1, pictures pass through unchanged. As published, borders darken (because of the zero
    padding), and the small picture is shifted up and left by (factor - 1) / 2 pixels relative to a centred one.
    """

    weight: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        sigma = max((factor - 1) / 2, 1e-3)  # with factor 1 the kernel is a single 1, kept for the state dict
        radius = round(4 * sigma)
        offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
        line = torch.exp(-(offsets**2) / (2 * sigma**2))
        kernel = line[:, None] * line[None, :]
        self.register_buffer("weight", (kernel / kernel.sum()).expand(channels, 1, -1, -1).clone())

    def forward(self, x: Tensor) -> Tensor:
        """Return the smaller picture."""
        if self.factor == 1:
            return x
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x, self.weight, stride=self.factor, padding=padding, groups=x.shape[1])
