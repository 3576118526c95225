"""The region-focusing prior map of FPB-FOMM, which shows the detector where on the face to look.

Source: Zhang et al., "Facial Prior Based First Order Motion Model for Micro-expression Generation", MM '21, equations
4 to 6, and the published code, which differs from these equations. `kind` chooses between the two:

| step | "code" (default) | "paper" |
|---|---|---|
| distance to point k (eq. 4) | L1, cells counted from 1 | Euclidean, cells counted from 0 |
| r_k (eq. 5) | exp(-sqrt(d) / 2 sigma^2) | exp(-d^power / 2 sigma^2), power 1 as printed |
| sum over k (eq. 6) | each divided by its maximum, set to 0 below its mean, then summed | summed |
| normalised | divided by the maximum | divided by the maximum |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from megbench.core.config import Positive


@dataclass(frozen=True)
class PriorConfig:
    """Settings of the prior map.

    kind: see the table above. sigma: in cells of the map. power: the exponent of the distance, used by "paper" only (2
    gives a Gaussian).
    """

    kind: Literal["code", "paper"] = "code"
    sigma: Positive = 0.75
    power: float = 1.0


def prior_map(config: PriorConfig, points: Tensor, image_size: int = 256, map_size: int = 64) -> Tensor:
    """Return prior maps (B, 1, S, S) float64 in [0, 1] for points (B, K, 2), in pixels x, y of a square picture."""
    centres = points.double() * map_size / image_size  # B K 2, in cells
    first = 1 if config.kind == "code" else 0
    cells = torch.arange(first, first + map_size, device=points.device, dtype=torch.float64)
    across = (cells - centres[..., 0, None]).abs()[:, :, None, :]  # B K 1 S
    down = (cells - centres[..., 1, None]).abs()[:, :, :, None]  # B K S 1
    width = 2 * config.sigma**2
    if config.kind == "code":
        near = torch.exp(-torch.sqrt(across + down) / width)  # B K S S
        near = near / near.amax((2, 3), keepdim=True)
        near = torch.where(near < near.mean((2, 3), keepdim=True), 0.0, near)
    else:
        near = torch.exp(-(torch.hypot(across, down) ** config.power) / width)
    total = near.sum(1, keepdim=True)  # B 1 S S
    return total / total.amax((2, 3), keepdim=True)
