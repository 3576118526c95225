"""The regions of MRAA: each is the mean and covariance of a heatmap, and its principal axes give an affine motion.

Source: Siarohin et al., Motion Representations for Articulated Animation, CVPR 2021, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.nets.blocks import AntiAliasDown, Hourglass
from megbench.nets.dense_motion import with_background
from megbench.nets.geometry import (
    affine_grid,
    aligned,
    coordinate_grid,
    covariance,
    gaussians,
    in_float32,
    inverse_2x2,
    product,
    soft_argmax,
    spatial_softmax,
)
from megbench.nets.keypoints import DetectorConfig
from megbench.nets.transfer import hull_scale

# Smaller variances are raised to this, so that affines stay invertible. Its root is about a thirtieth of the distance
# between two pixels of a 64 x 64 heatmap.
SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class Regions:
    """The K regions of each sample in a batch.

    shift: (B, K, 2) in [-1, 1]. affine, covar: (B, K, 2, 2) each, covar = affine affine^T. heatmap: (B, K, h, w), or
    None for regions that were computed from other regions.
    """

    shift: Tensor
    affine: Tensor
    covar: Tensor
    heatmap: Tensor | None = None

    def chunk(self, parts: int) -> list[Regions]:
        """Split the batch into equal parts: after one detector call on torch.cat([source, driving]), use chunk(2)."""
        size = len(self.shift) // parts
        return [self[start : start + size] for start in range(0, len(self.shift), size)]

    def __getitem__(self, index: slice | Tensor) -> Regions:
        heatmap = None if self.heatmap is None else self.heatmap[index]
        return Regions(self.shift[index], self.affine[index], self.covar[index], heatmap)

    @classmethod
    def join(cls, parts: Sequence[Regions]) -> Regions:
        """Join several batches into one, without heatmaps."""
        shift, affine, covar = zip(*((part.shift, part.affine, part.covar) for part in parts), strict=True)
        return Regions(torch.cat(shift), torch.cat(affine), torch.cat(covar))


@in_float32
def principal_axes(covar: Tensor) -> tuple[Tensor, Tensor]:
    """Return principal axes U and standard deviations D, (..., 2, 2) each, of covariances (..., 2, 2); affine = U D.

    The sign of a singular vector is arbitrary. These vectors have the signs that LAPACK's SVD gives (det U = -1),
    because the published AVD networks were trained with them. They are computed in closed form on the tensor's device.
    The gradient remains finite for round regions.
    """
    a, b, d = covar[..., 0, 0], covar[..., 0, 1], covar[..., 1, 1]
    half = (a - d) / 2
    round_region = (half == 0) & (b == 0)  # any axes are valid; the gradient of atan2 would be 0 / 0
    safe_half = torch.where(round_region, torch.ones_like(half), half)
    angle = torch.atan2(b, safe_half) / 2
    c, s = torch.cos(angle), torch.sin(angle)
    sign = torch.where((b > 0) & (a**2 + b**2 < a * d - b**2), -1.0, 1.0)
    axes = torch.stack([torch.stack([-c, -s], -1), torch.stack([-s, c], -1)], -2) * sign[..., None, None]
    largest = (a + d) / 2 + torch.hypot(safe_half, b).where(~round_region, torch.zeros_like(half))
    largest = largest.clamp_min(SMALLEST_VARIANCE)
    smallest = ((a * d - b**2) / largest).clamp_min(SMALLEST_VARIANCE)  # less cancellation than the difference
    return axes, torch.diag_embed(torch.stack([largest, smallest], -1).sqrt())


class RegionPredictor(nn.Module):
    """A detector of regions in pictures (B, 3, H, W) in [0, 1].

    Regions are the first two moments of heatmaps (section 3.2).
    """

    def __init__(self, config: DetectorConfig, num_regions: int) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.predictor = Hourglass(config.hourglass, 3)
        self.regions = nn.Conv2d(self.predictor.channels_out, num_regions, 7, padding=config.padding)
        self.down = AntiAliasDown(3, config.down)

    @in_float32
    def detect(self, small: Tensor) -> Regions:
        """Return the regions of pictures that are already small (64x64), in float32 even under autocast.

        Several batches may be concatenated into one.
        """
        heatmap = spatial_softmax(self.regions(self.predictor(small)), self.temperature)  # B K h w
        shift = soft_argmax(heatmap)
        covar = covariance(heatmap, shift)
        axes, deviations = principal_axes(covar)
        return Regions(shift, product(axes, deviations), covar, heatmap)

    def forward(self, picture: Tensor) -> Regions:
        """Return the regions of full pictures."""
        return self.detect(self.down(picture))


@in_float32
def region_difference(source: Regions, driving: Regions, size: tuple[int, int]) -> Tensor:
    """Return the Gaussians of the driving regions minus those of the source regions: (B, K+1, h, w), zeros first."""
    moved = gaussians(driving.shift, *size, driving.covar)
    return with_background(moved - gaussians(source.shift, *size, source.covar))


def region_motions(
    source: Regions,
    driving: Regions,
    size: tuple[int, int],
    revert_axis_swap: bool = True,
    background: Tensor | None = None,
) -> Tensor:
    """Return the background's motion and that of each region: (B, K+1, h, w, 2).

    The motion of region k is T_k(z) = mu_s + B_k (z - mu_d) with B_k = A_s A_d^-1. revert_axis_swap: whether B_k is
    multiplied by the sign of its first entry, because the sign of principal axes is arbitrary.
    """
    matrix = product(source.affine, inverse_2x2(driving.affine))  # B K 2 2
    if revert_axis_swap:
        matrix = aligned(matrix)
    sparse = affine_grid(driving.shift, source.shift, matrix, *size)  # B K h w 2
    return torch.cat([background_motion(sparse, background), sparse], dim=1)


def background_motion(sparse: Tensor, background: Tensor | None) -> Tensor:
    """Return the background's grid (B, 1, h, w, 2), to be prepended to the sparse motions.

    background: a homography (B, 3, 3), or None for a background at rest.
    """
    batch, _, height, width, _ = sparse.shape
    grid = coordinate_grid(height, width, sparse)
    if background is None:
        return grid.expand(batch, 1, -1, -1, -1)
    homogeneous = torch.cat([grid, torch.ones_like(grid[..., :1])], dim=-1)  # h w 3
    moved = torch.einsum("bij,hwj->bhwi", background, homogeneous)
    return (moved[..., :2] / moved[..., 2:])[:, None]


def transfer_regions(source: Regions, driving: Regions, first: Regions, recompute_covar: bool = False) -> Regions:
    """Return regions that move the source as the driver moves from `first` to `driving` (MRAA's relative mode).

    source and first have batch size 1, driving any batch size. mu = mu_s + m (mu_d - mu_d0), where m is always the
    ratio of the hulls' sizes; A = A_d A_d0^-1 A_s. As published, the covariance remains that of the driver and thus
    contradicts the new affine. If recompute_covar is True, the covariance is A A^T instead.
    """
    shift = source.shift + hull_scale(source.shift, first.shift) * (driving.shift - first.shift)
    affine = product(driving.affine, inverse_2x2(first.affine), source.affine)
    covar = product(affine, affine.transpose(-1, -2)) if recompute_covar else driving.covar
    return Regions(shift, affine, covar)
