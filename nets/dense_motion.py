"""Dense motion: K sparse motions combined into one backward grid and an occlusion map.

FOMM and FPB-FOMM (jacobians) and MRAA (region affines, background motion) share this part. They differ only in how they
compute the heatmaps and the sparse motions, which are passed in by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.core.config import Count, Positive
from megbench.nets.blocks import AntiAliasDown, Hourglass, HourglassConfig
from megbench.nets.geometry import coordinate_grid, in_float32, resized_map, warp


@dataclass(frozen=True)
class DenseMotionConfig:
    """Widths of the dense motion network.

    down: the factor by which the picture is reduced to the size of the map. variance: the variance of the key points'
    Gaussians.
    """

    hourglass: HourglassConfig = HourglassConfig(64)
    down: Count = 4
    variance: Positive = 0.01


@dataclass(frozen=True)
class Motion:
    """The motion of each cell: where in the source it is sampled, and how visible it is there.

    deformation: (B, h, w, 2), the backward grid in [-1, 1]; values may exceed this range.
    occlusion: (B, 1, h, w), 1 where the source is visible.
    mask: (B, K+1, h, w), the weights of the motions, background first; they sum to 1.
    warped: (B, K+1, 3, h, w), the source warped by each motion.
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor
    warped: Tensor

    def visible(self, height: int, width: int, align_corners: bool = False) -> Tensor:
        """Return the occlusion map at another resolution: (B, 1, H, W)."""
        return resized_map(self.occlusion, height, width, align_corners)


class DenseMotion(nn.Module):
    """A network that weights K sparse motions and the background by a mask (Siarohin et al. 2019, section 3.2)."""

    def __init__(self, config: DenseMotionConfig, num_kp: int, align_corners: bool) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.hourglass = Hourglass(config.hourglass, (num_kp + 1) * 4)
        self.mask = nn.Conv2d(self.hourglass.channels_out, num_kp + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.channels_out, 1, 7, padding=3)
        self.down = AntiAliasDown(3, config.down)

    @in_float32
    def forward(self, small: Tensor, heatmaps: Tensor, sparse: Tensor) -> Motion:
        """Return the dense motion of a picture that is already small (see `down`), in float32 even under autocast.

        small: (B or 1, 3, h, w), the source in [0, 1]. heatmaps: (B, K+1, h, w), driving minus source, background
        (zeros) first. sparse: (B, K+1, h, w, 2), backward grids, background first. h and w must be multiples of
        2^num_blocks.
        """
        motions, height = heatmaps.shape[1:3]
        # The grids are stacked along the height, so that the source is not copied K+1 times.
        warped = warp(small, sparse.flatten(1, 2), self.align_corners)  # B 3 (K+1)h w
        warped = warped.unflatten(2, (motions, height)).transpose(1, 2)  # B K+1 3 h w
        features = torch.cat([heatmaps[:, :, None], warped], dim=2).flatten(1, 2)  # B 4(K+1) h w
        features = self.hourglass(features)
        logits, visible = self.heads(features)
        mask = torch.softmax(logits, dim=1)  # B K+1 h w
        deformation = torch.einsum("bkhw,bkhwc->bhwc", mask, sparse)
        return Motion(deformation, torch.sigmoid(visible), mask, warped)

    def heads(self, features: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of the mask (B, K+1, h, w) and those of visibility (B, 1, h, w)."""
        return self.mask(features), self.occlusion(features)


def with_background(maps: Tensor) -> Tensor:
    """Prepend the background's empty heatmap: (B, K, h, w) -> (B, K+1, h, w)."""
    return torch.cat([torch.zeros_like(maps[:, :1]), maps], dim=1)


def identity_motion(sparse: Tensor) -> Tensor:
    """Return the motion of a background at rest, (B, 1, h, w, 2), to be prepended to sparse motions (B, K, h, w, 2)."""
    batch, _, height, width, _ = sparse.shape
    return coordinate_grid(height, width, sparse).expand(batch, 1, -1, -1, -1)
