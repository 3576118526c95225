"""MRAA, Motion Representations for Articulated Animation (Siarohin et al., CVPR 2021), vox256 sizes by default.

Instead of key points, MRAA uses regions. A region is the mean and covariance of a heatmap; the principal axes of the
covariance give the affine motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.baselines.mraa.regions import (
    RegionPredictor,
    Regions,
    region_difference,
    region_motions,
    transfer_regions,
)
from megbench.core.config import Count, Positive
from megbench.nets.blocks import Encoder, HourglassConfig, perceptron
from megbench.nets.dense_motion import DenseMotion, DenseMotionConfig, Motion
from megbench.nets.generator import Generator, GeneratorConfig
from megbench.nets.geometry import first_sign, in_float32, inverse_2x2, product
from megbench.nets.inference import Animator
from megbench.nets.keypoints import DetectorConfig
from megbench.nets.losses import LossConfig
from megbench.nets.transform import TransformConfig


@dataclass(frozen=True)
class AvdConfig:
    """Widths of the animation-via-disentanglement network, and settings of its training stage (the second one)."""

    hidden: tuple[Count, ...] = (256, 512, 1024)
    code: Count = 64
    lr: Positive = 1e-3
    milestones: tuple[int, ...] = (20, 25)


@dataclass(frozen=True)
class MraaConfig:
    """Sizes and training settings; the defaults are those of vox256.

    align_corners: False, because the published weights were trained with the behaviour of torch 1.4. recompute_covar:
    whether relative mode derives the covariance from the new affine; the published code keeps the driver's covariance.
    steadied: whether drivers are steadied (megbench.faces.steady) unless the option `steady` says otherwise.
    """

    num_regions: Count = 10
    steadied: bool = False
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
    lr: Positive = 2e-4
    milestones: tuple[int, ...] = (60, 90)


class BackgroundPredictor(nn.Module):
    """A predictor of the background's affine motion between two pictures; before training, it predicts the identity.

    It is used only in training and reconstruction: in animation, source and driver have different backgrounds.
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
        """Return matrices (B, 3, 3) from driving to source coordinates, for pictures (B, 3, H, W) of the same size."""
        features = self.encoder(torch.cat([source, driving], dim=1))[-1].mean((2, 3))  # B C
        rows = self.fc(features).unflatten(1, (2, 3))  # B 2 3
        last = rows.new_tensor([0.0, 0.0, 1.0]).expand(len(rows), 1, 3)
        return torch.cat([rows, last], dim=1)


class MraaGenerator(Generator):
    """The generator with its pixelwise flow predictor.

    To train only the motion on pictures that are already small (64x64), use `generator.motion(small, source, driving)`.
    """

    pixelwise_flow_predictor: DenseMotion

    def __init__(self, config: MraaConfig) -> None:
        motion = DenseMotion(config.dense_motion, config.num_regions, config.align_corners)
        super().__init__(config.generator, motion, "pixelwise_flow_predictor", config.align_corners)
        self.revert_axis_swap = config.revert_axis_swap

    def motion(self, small: Tensor, source: Regions, driving: Regions, background: Tensor | None = None) -> Motion:
        """Return the dense motion of a source that is already small: (B or 1, 3, h, w).

        The regions may have been found at any picture size. background: (B, 3, 3) from the background predictor, or
        None for a background at rest.
        """
        size = (small.shape[2], small.shape[3])
        heatmaps = region_difference(source, driving, size)
        sparse = region_motions(source, driving, size, self.revert_axis_swap, background)
        motion: Motion = self.pixelwise_flow_predictor(small, heatmaps, sparse)
        return motion

    def forward(self, picture: Tensor, source: Regions, driving: Regions, background: Tensor | None = None) -> Tensor:
        """Return a source picture (B, 3, H, W) in [0, 1], moved from its own regions to the driving ones."""
        encoded = self.encode(picture)
        return self.decode(encoded, self.motion(encoded.small, source, driving, background))


class AvdNetwork(nn.Module):
    """Animation via disentanglement: combine the source's shape with the driver's pose (section 3.5)."""

    def __init__(self, config: AvdConfig, num_regions: int, revert_axis_swap: bool) -> None:
        super().__init__()
        numbers = num_regions * 6  # shift and affine
        self.revert_axis_swap = revert_axis_swap
        self.id_encoder = perceptron((numbers, *config.hidden, config.code))
        self.pose_encoder = perceptron((numbers, *config.hidden, config.code))
        self.decoder = perceptron((2 * config.code, *reversed(config.hidden), numbers))

    @in_float32
    def forward(self, identity: Regions, pose: Regions) -> Regions:
        """Return regions with the shape of `identity` and the pose of `pose`; their covar is affine affine^T."""
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


def networks(config: MraaConfig) -> dict[str, nn.Module]:
    """Return a configuration's networks, newly initialised and keyed by their names in published checkpoints."""
    return {
        "generator": MraaGenerator(config),
        "region_predictor": RegionPredictor(config.detector, config.num_regions),
        "bg_predictor": BackgroundPredictor(config.background),
        "avd_network": AvdNetwork(config.avd, config.num_regions, config.revert_axis_swap),
    }


def animator(
    config: MraaConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> Animator[Regions]:
    """Return an animator that runs MRAA in options["mode"], with the background at rest.

    "avd" needs an AVD network; "standard" uses the driver's regions unchanged, for a driver with the same face.
    """
    generator, mode = nets["generator"], options["mode"]
    assert isinstance(generator, MraaGenerator)

    def transfer(source: Regions, driving: Regions, first: Regions) -> Regions:
        if mode == "standard":
            return driving
        if mode == "relative":
            return transfer_regions(source, driving, first, config.recompute_covar)
        batch = driving.shift.shape[0]
        same = Regions(*(part.expand(batch, *part.shape[1:]) for part in (source.shift, source.affine, source.covar)))
        moved: Regions = nets["avd_network"](same, driving)
        return moved

    return Animator(generator, transfer, generator.motion, device, batch_size)


def detector(nets: Mapping[str, nn.Module], landmarks: None, device: str) -> nn.Module:
    """Return the network that finds the regions in a clip's pictures; it does not use landmarks."""
    return nets["region_predictor"]
