"""Warp a picture by a network's output maps instead of painting a new picture. For the demo weights only.

A network that paints colours must be trained for a long time before its faces are as sharp as its input, and a
micro-expression is smaller than the blur that remains. Therefore the network's three output maps specify where each
pixel comes from and how much brighter it becomes. This is not a published method.

torch's bicubic kernel (a = -.75, as in OpenCV) is not exact: smooth skin that should move by .05, .1, .25, .5 or .75
pixels moves by .071, .136, .297, .5 or .703; displacements by whole pixels are exact. The demo networks were trained
with this kernel and compensate for it as far as their losses allow, so the kernel is kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from megbench.nets.geometry import coordinate_grid, in_float32, warp

# The meaning of 1 in an output map: two pixels of the 256-pixel picture, in units of [-1, 1], or 5 % of the brightness
# range.
STEP = 2 * 2 / 255
BRIGHTER = 0.05


@in_float32
def displacement(painted: Tensor) -> Tensor:
    """Return the backward grid (B, H, W, 2) in [-1, 1] for output maps (B, 3, H, W); the first two are x and y."""
    rest = coordinate_grid(painted.shape[2], painted.shape[3], painted)
    return rest + STEP * painted[:, :2].permute(0, 2, 3, 1)


@in_float32
def displaced(picture: Tensor, painted: Tensor, darkest: float = 0.0) -> Tensor:
    """Return a picture (1 or B, 3, H, W) in [darkest, 1], moved and brightened by output maps (B, 3, H, W).

    Sampling is bicubic. Maps of 0 leave the picture unchanged.
    """
    moved = warp(picture, displacement(painted), align_corners=True, padding="border", sampling="bicubic")
    lit = moved + BRIGHTER * (1 - darkest) * painted[:, 2:]
    return torch.clamp(lit, darkest, 1)  # bicubic sampling overshoots at edges
