"""Bilinear sampling of channels-last maps, several times faster than torch's, which is designed for planar maps.

A pixel of the result is a weighted sum of four rows of a table that has a row of channels for every pixel. This is
exactly what `embedding_bag` computes, and its result is also in the channels-last layout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# With fewer channels, computing the row numbers takes longer than the sampling itself.
FEWEST_CHANNELS = 16


def suits(picture: Tensor, grid: Tensor) -> bool:
    """Return whether `gathered` can sample a picture at the points of a grid.

    It can do so for a single wide float32 map, during inference, on a CPU.
    """
    one = picture.shape[0] == 1 and picture.shape[1] >= FEWEST_CHANNELS and picture.device.type == "cpu"
    one = one and picture.dtype == grid.dtype == torch.float32
    learning = torch.is_grad_enabled() and (picture.requires_grad or grid.requires_grad)
    return one and not learning and not torch.compiler.is_compiling()


def gathered(picture: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """Sample a picture (1, C, H, W) at backward grids (B, h, w, 2) in [-1, 1].

    Return (B, C, h, w), channels last, 0 outside the picture. Sampling is bilinear, as in
    torch.nn.functional.grid_sample. A NaN coordinate counts as outside.
    """
    _, channels, height, width = picture.shape
    stride = width + 3  # a border of zeros, one pixel before and two after
    table = F.pad(picture.permute(0, 2, 3, 1), (0, 0, 1, 2, 1, 2)).reshape(-1, channels)
    across, down = (
        _pixels(grid[..., axis], size, align_corners).flatten() for axis, size in enumerate((width, height))
    )
    left, top = across.floor(), down.floor()
    across -= left
    down -= top
    first = torch.add(left, top, alpha=stride).to(torch.int32).add_(stride + 1)
    rows, weights = first.new_empty(len(first), 4), across.new_empty(len(first), 4)
    for corner, offset in enumerate((0, 1, stride, stride + 1)):
        torch.add(first, offset, out=rows[:, corner])
    torch.mul(across, down, out=weights[:, 3])
    torch.sub(down, weights[:, 3], out=weights[:, 2])
    torch.sub(across, weights[:, 3], out=weights[:, 1])
    torch.sub(1 - across, weights[:, 2], out=weights[:, 0])
    sampled = F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")
    return sampled.view(*grid.shape[:3], channels).permute(0, 3, 1, 2)


def _pixels(coordinate: Tensor, size: int, align_corners: bool) -> Tensor:
    """Convert coordinates in [-1, 1] along an axis of `size` pixels to pixels, clipped to one pixel beyond its ends."""
    pixels = (coordinate + 1) * ((size - 1) / 2) if align_corners else (coordinate + 1) * (size / 2) - 0.5
    return pixels.nan_to_num_(-1.0).clamp_(-1, size)
