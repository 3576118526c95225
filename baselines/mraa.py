"""MRAA, Motion Representations for Articulated Animation (Siarohin et al., CVPR 2021), vox256 sizes by default.

Regions instead of key points: the mean and covariance of a heatmap, whose principal axes give the affine motion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nets.blocks import AntiAliasDown, Encoder, Hourglass, HourglassConfig
from nets.dense_motion import DenseMotion, DenseMotionConfig, Motion, with_background
from nets.generator import Encoded, Generator, GeneratorConfig
from nets.geometry import (
    affine_grid,
    coordinate_grid,
    covariance,
    gaussians,
    in_float32,
    inverse_2x2,
    product,
    soft_argmax,
    spatial_softmax,
)
from nets.keypoints import DetectorConfig
from nets.losses import LossConfig, aligned, first_sign
from nets.transform import TransformConfig

# Variances below this (a twentieth of a cell) are raised to it, so that affines stay invertible.
SMALLEST_VARIANCE = 1e-6


@dataclass(frozen=True)
class AvdConfig:
    """Widths of the animation-via-disentanglement network and its second training stage."""

    hidden: tuple[int, ...] = (256, 512, 1024)
    code: int = 64
    lr: float = 1e-3
    milestones: tuple[int, ...] = (20, 25)


@dataclass(frozen=True)
class MraaConfig:
    """Sizes and training numbers; the defaults are vox256.

    align_corners is False: the published weights were trained with what torch 1.4 did. recompute_covar: in relative
    mode derive the covariance from the new affine; the published code keeps the driver's.
    """

    num_regions: int = 10
    align_corners: bool = False
    revert_axis_swap: bool = True
    recompute_covar: bool = False
    detector: DetectorConfig = DetectorConfig(padding=3)
    background: HourglassConfig = HourglassConfig(32)
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig(skips=True)
    avd: AvdConfig = AvdConfig()
    loss: LossConfig = LossConfig()
    transform: TransformConfig = TransformConfig()
    lr: float = 2e-4
    milestones: tuple[int, ...] = (60, 90)


@dataclass(frozen=True)
class Regions:
    """K regions of a batch: shift (B, K, 2) in [-1, 1], affine and covar (B, K, 2, 2), covar = affine affine^T.

    heatmap: (B, K, h, w), None for regions that were computed from others.
    """

    shift: Tensor
    affine: Tensor
    covar: Tensor
    heatmap: Tensor | None = None

    def chunk(self, parts: int) -> list[Regions]:
        """Split the batch into equal parts: one call on torch.cat([source, driving]), then chunk(2)."""
        return [self[index] for index in torch.arange(len(self.shift)).chunk(parts)]

    def __getitem__(self, index: slice | Tensor) -> Regions:
        heatmap = None if self.heatmap is None else self.heatmap[index]
        return Regions(self.shift[index], self.affine[index], self.covar[index], heatmap)


@in_float32
def principal_axes(covar: Tensor) -> tuple[Tensor, Tensor]:
    """Principal axes U and standard deviations D of covariances (..., 2, 2), so that affine = U D: two (..., 2, 2).

    Singular vectors have no sign of their own; these are the signs LAPACK's SVD gives, det U = -1, which the published
    AVD networks were trained with. In closed form, on the tensor's device; the gradient stays finite for round regions.
    """
    a, b, d = covar[..., 0, 0], covar[..., 0, 1], covar[..., 1, 1]
    half = (a - d) / 2
    round_region = (half == 0) & (b == 0)  # any axes will do; the gradient of atan2 would be 0 / 0
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
    """Regions from heatmaps by their first two moments (section 3.2). Pictures are RGB (B, 3, H, W) in [0, 1]."""

    def __init__(self, config: DetectorConfig, num_regions: int) -> None:
        super().__init__()
        self.temperature = config.temperature
        self.predictor = Hourglass(config.hourglass, 3)
        self.regions = nn.Conv2d(self.predictor.channels_out, num_regions, 7, padding=config.padding)
        self.down = AntiAliasDown(3, config.down)

    @in_float32
    def detect(self, small: Tensor) -> Regions:
        """Regions of pictures that are already small (64x64), in float32 even under autocast.

        Several calls may be one concatenated batch.
        """
        heatmap = spatial_softmax(self.regions(self.predictor(small)), self.temperature)  # B K h w
        shift = soft_argmax(heatmap)
        covar = covariance(heatmap, shift)
        axes, deviations = principal_axes(covar)
        return Regions(shift, product(axes, deviations), covar, heatmap)

    def forward(self, picture: Tensor) -> Regions:
        """Regions of full pictures."""
        return self.detect(self.down(picture))


class BackgroundPredictor(nn.Module):
    """The background's affine motion between two pictures; identity before training.

    Used in training and reconstruction only: in animation source and driver have different backgrounds.
    """

    def __init__(self, config: HourglassConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config, 6)
        self.fc = nn.Linear(config.width(config.num_blocks), 6)
        nn.init.zeros_(self.fc.weight)
        with torch.no_grad():
            self.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    @in_float32
    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Matrices (B, 3, 3) from driving to source coordinates; pictures (B, 3, H, W) of any one size."""
        features = self.encoder(torch.cat([source, driving], dim=1))[-1].mean((2, 3))  # B C
        rows = self.fc(features).unflatten(1, (2, 3))  # B 2 3
        last = rows.new_tensor([0.0, 0.0, 1.0]).expand(len(rows), 1, 3)
        return torch.cat([rows, last], dim=1)


class MraaGenerator(Generator):
    """The generator with its pixelwise flow predictor.

    To train the motion alone on pictures that are already small (64x64): `generator.motion(small, source, driving)`.
    """

    pixelwise_flow_predictor: DenseMotion

    def __init__(self, config: MraaConfig) -> None:
        motion = DenseMotion(config.dense_motion, config.num_regions, config.align_corners)
        super().__init__(config.generator, motion, "pixelwise_flow_predictor", config.align_corners)
        self.revert_axis_swap = config.revert_axis_swap

    def encode(self, picture: Tensor) -> Encoded:
        """A source (B, 3, H, W) RGB in [0, 1], encoded once for all frames."""
        return Encoded(picture, self.pixelwise_flow_predictor.down(picture), self.features(picture))

    def motion(self, small: Tensor, source: Regions, driving: Regions, background: Tensor | None = None) -> Motion:
        """Dense motion on a source that is already small, (B or 1, 3, h, w); regions of any picture size.

        background: (B, 3, 3) from the background predictor; None is a background at rest.
        """
        size = (small.shape[2], small.shape[3])
        heatmaps = region_difference(source, driving, size)
        sparse = region_motions(source, driving, size, self.revert_axis_swap, background)
        motion: Motion = self.pixelwise_flow_predictor(small, heatmaps, sparse)
        return motion

    def forward(self, picture: Tensor, source: Regions, driving: Regions, background: Tensor | None = None) -> Tensor:
        """Source picture (B, 3, H, W) moved from its regions to the driving ones: (B, 3, H, W) in [0, 1]."""
        encoded = self.encode(picture)
        return self.decode(encoded, self.motion(encoded.small, source, driving, background))


@in_float32
def region_difference(source: Regions, driving: Regions, size: tuple[int, int]) -> Tensor:
    """Gaussians of the driving regions minus the source's, background zeros first: (B, K+1, h, w)."""
    moved = gaussians(driving.shift, *size, driving.covar)
    return with_background(moved - gaussians(source.shift, *size, source.covar))


def region_motions(
    source: Regions,
    driving: Regions,
    size: tuple[int, int],
    revert_axis_swap: bool = True,
    background: Tensor | None = None,
) -> Tensor:
    """T_k(z) = mu_s + B_k (z - mu_d), B_k = A_s A_d^-1, the background's motion first: (B, K+1, h, w, 2).

    revert_axis_swap: B_k times the sign of its first entry, since principal axes have no sign.
    """
    matrix = product(source.affine, inverse_2x2(driving.affine))  # B K 2 2
    if revert_axis_swap:
        matrix = aligned(matrix)
    sparse = affine_grid(driving.shift, source.shift, matrix, *size)  # B K h w 2
    return torch.cat([background_motion(sparse, background), sparse], dim=1)


def background_motion(sparse: Tensor, background: Tensor | None) -> Tensor:
    """The background's grid under a homography (B, 3, 3), None at rest, to stand before sparse: (B, 1, h, w, 2)."""
    batch, _, height, width, _ = sparse.shape
    grid = coordinate_grid(height, width, sparse)
    if background is None:
        return grid.expand(batch, 1, -1, -1, -1)
    homogeneous = torch.cat([grid, torch.ones_like(grid[..., :1])], dim=-1)  # h w 3
    moved = torch.einsum("bij,hwj->bhwi", background, homogeneous)
    return (moved[..., :2] / moved[..., 2:])[:, None]


class AvdNetwork(nn.Module):
    """Animation via disentanglement: the driver's pose on the source's shape (section 3.5)."""

    def __init__(self, config: AvdConfig, num_regions: int, revert_axis_swap: bool) -> None:
        super().__init__()
        numbers = num_regions * 6  # shift and affine
        self.revert_axis_swap = revert_axis_swap
        self.id_encoder = _perceptron((numbers, *config.hidden, config.code))
        self.pose_encoder = _perceptron((numbers, *config.hidden, config.code))
        self.decoder = _perceptron((2 * config.code, *reversed(config.hidden), numbers))

    @in_float32
    def forward(self, identity: Regions, pose: Regions) -> Regions:
        """Regions with the shape of `identity` and the pose of `pose`; covar = affine affine^T."""
        affine = identity.affine
        if self.revert_axis_swap:
            affine = affine * first_sign(product(affine, inverse_2x2(pose.affine)))
        id_code = self.id_encoder(_numbers(identity.shift, affine))
        pose_code = self.pose_encoder(_numbers(pose.shift, pose.affine))
        out = self.decoder(torch.cat([pose_code, id_code], dim=1)).unflatten(1, (-1, 6))  # B K 6
        new_affine = out[..., 2:].unflatten(-1, (2, 2))
        return Regions(out[..., :2], new_affine, product(new_affine, new_affine.transpose(-1, -2)))


def _numbers(shift: Tensor, affine: Tensor) -> Tensor:
    return torch.cat([shift, affine.flatten(2)], dim=-1).flatten(1)  # B 6K


def _perceptron(widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def networks(config: MraaConfig) -> dict[str, nn.Module]:
    """The networks of a configuration by the published checkpoints' names, with fresh weights."""
    return {
        "generator": MraaGenerator(config),
        "region_predictor": RegionPredictor(config.detector, config.num_regions),
        "bg_predictor": BackgroundPredictor(config.background),
        "avd_network": AvdNetwork(config.avd, config.num_regions, config.revert_axis_swap),
    }
