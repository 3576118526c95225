"""A picture that is moved by what a network paints, instead of painted anew. Not published: for the demo weights.

A network that paints colours needs long to paint a face as sharp as the one it was given, and a micro-expression is
less than that softness. So the three maps that it ends in say where each pixel comes from and how much brighter it is.

torch's bicubic kernel (a = -.75, as OpenCV's) is not exact: smooth skin that is to move by .05, .1, .25, .5 or .75
pixels moves by .071, .136, .297, .5 or .703, whole pixels are right. The demo networks learnt with it: what they paint
makes up for it as far as their losses saw it, so it stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from megbench.nets.geometry import coordinate_grid, in_float32, warp

# What a painted 1 means: two pixels of the 256-pixel picture, in [-1, 1], and five hundredths of its brightness.
STEP = 2 * 2 / 255
BRIGHTER = 0.05


@in_float32
def displacement(painted: Tensor) -> Tensor:
    """The backward grid (B, H, W, 2) in [-1, 1] of painted maps (B, 3, H, W), of which two move, x then y."""
    rest = coordinate_grid(painted.shape[2], painted.shape[3], painted)
    return rest + STEP * painted[:, :2].permute(0, 2, 3, 1)


@in_float32
def displaced(picture: Tensor, painted: Tensor, darkest: float = 0.0) -> Tensor:
    """A picture (1 or B, 3, H, W) in [darkest, 1] moved and lit by painted maps (B, 3, H, W); bicubic, unmoved by 0."""
    moved = warp(picture, displacement(painted), align_corners=True, padding="border", sampling="bicubic")
    lit = moved + BRIGHTER * (1 - darkest) * painted[:, 2:]
    return torch.clamp(lit, darkest, 1)  # bicubic sampling overshoots at edges
