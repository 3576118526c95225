"""TPS, the Thin-Plate Spline Motion Model (Zhao and Zhang, CVPR 2022), vox-256 sizes by default.

A ResNet finds fifty key points, five for each of ten thin plate splines. The splines and the background are weighted
per pixel. The warped source enters the decoder at every resolution, and each resolution has its own occlusion mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from megbench.baselines.tps.inpainting import InpaintingConfig, InpaintingNetwork
from megbench.baselines.tps.motion import PER_SPLINE, SplineDenseMotion
from megbench.core.config import Count, Positive
from megbench.nets.blocks import perceptron
from megbench.nets.dense_motion import DenseMotionConfig, Motion
from megbench.nets.generator import Encoded
from megbench.nets.geometry import in_float32
from megbench.nets.inference import Animator
from megbench.nets.losses import LossConfig
from megbench.nets.resnet import ResNet18
from megbench.nets.thin_plate import PUBLISHED_RIDGE
from megbench.nets.transfer import hull_scale
from megbench.nets.transform import TransformConfig


@dataclass(frozen=True)
class TpsAvdConfig:
    """Widths of the key point re-targeting network and settings of its training stage, by default those of vox-256."""

    hidden: tuple[Count, ...] = (256, 512, 1024)
    code: Count = 128
    shift_weight: float = 1.0
    lr: Positive = 1e-3
    milestones: tuple[int, ...] = (140, 180)


@dataclass(frozen=True)
class DropoutConfig:
    """The dropout of splines in training.

    The probability rises from `start` to `largest`, by `largest` per `rise` epochs; from epoch `end` onwards it is 0.
    """

    start: float = 0.1
    largest: float = 0.3
    rise: int = 10
    end: int = 35

    def probability(self, epoch: int) -> float | None:
        """Return the probability in an epoch, counted from 0, or None if nothing is dropped."""
        if epoch >= self.end:
            return None
        return min(epoch / self.rise * self.largest + self.start, self.largest)


@dataclass(frozen=True)
class TpsConfig:
    """Sizes and training settings; the defaults are those of vox-256.

    ridge: the ridge of the splines' systems of equations (megbench.nets.thin_plate); with the published ridge, equal
    points do not quite give the identity. resnet_width: the number of channels in the ResNets' first stage.
    background_start: the first epoch in which the background's motion is used and learnt; None for never (mgif).
    clip_norm: the limit on the largest entry of a network's gradient.
    """

    num_tps: Count = 10
    ridge: float = PUBLISHED_RIDGE
    resnet_width: Count = 64
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    inpainting: InpaintingConfig = InpaintingConfig()
    avd: TpsAvdConfig = TpsAvdConfig()
    dropout: DropoutConfig = DropoutConfig()
    background_start: int | None = 10
    background_weight: float = 10.0
    warp_weight: float = 10.0
    loss: LossConfig = LossConfig()
    transform: TransformConfig = TransformConfig()
    lr: Positive = 2e-4
    weight_decay: float = 1e-4
    clip_norm: Positive = 10.0
    milestones: tuple[int, ...] = (70, 90)


@dataclass(frozen=True)
class SplinePoints:
    """The key points of a batch, five for each spline. value: (B, 5K, 2) in [-1, 1]."""

    value: Tensor

    def __getitem__(self, index: slice | Tensor) -> SplinePoints:
        return SplinePoints(self.value[index])

    @classmethod
    def join(cls, parts: Sequence[SplinePoints]) -> SplinePoints:
        """Join several batches into one."""
        return SplinePoints(torch.cat([part.value for part in parts]))


class SplineDetector(nn.Module):
    """A detector of key points by regression from full-size RGB pictures, (B, 3, H, W) in [0, 1]."""

    def __init__(self, num_tps: int, width: int) -> None:
        super().__init__()
        self.fg_encoder = ResNet18(3, num_tps * PER_SPLINE * 2, width)

    @in_float32
    def forward(self, picture: Tensor) -> SplinePoints:
        """Return key points (B, 5K, 2), in float32 even under autocast."""
        return SplinePoints(2 * torch.sigmoid(self.fg_encoder(picture)).unflatten(1, (-1, 2)) - 1)


class SplineBackground(nn.Module):
    """A predictor of the background's affine motion between two pictures; before training, it predicts the identity.

    It is used only in training and reconstruction: in animation, source and driver have different backgrounds.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bg_encoder = ResNet18(6, 6, width)
        nn.init.zeros_(self.bg_encoder.fc.weight)
        with torch.no_grad():
            self.bg_encoder.fc.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    @in_float32
    def forward(self, source: Tensor, driving: Tensor) -> Tensor:
        """Return matrices (B, 3, 3) from driving to source coordinates, for pictures (B, 3, H, W)."""
        rows = self.bg_encoder(torch.cat([source, driving], dim=1)).unflatten(1, (2, 3))
        return torch.cat([rows, rows.new_tensor([0.0, 0.0, 1.0]).expand(len(rows), 1, 3)], dim=1)


class SplineAvd(nn.Module):
    """Key point re-targeting: combine the source's shape with the driver's pose."""

    def __init__(self, config: TpsAvdConfig, num_tps: int) -> None:
        super().__init__()
        numbers = num_tps * PER_SPLINE * 2
        self.id_encoder = perceptron((numbers, *config.hidden, config.code))
        self.pose_encoder = perceptron((numbers, *config.hidden, config.code))
        self.decoder = perceptron((2 * config.code, *reversed(config.hidden), numbers))

    @in_float32
    def forward(self, identity: Tensor, pose: Tensor) -> Tensor:
        """Return points, not limited to [-1, 1], with the shape of `identity` and the pose of `pose`: (B, 5K, 2)."""
        codes = [self.pose_encoder(pose.flatten(1)), self.id_encoder(identity.flatten(1))]
        out: Tensor = self.decoder(torch.cat(codes, dim=1)).unflatten(1, (-1, 2))
        return out


@dataclass(frozen=True)
class TpsGenerator:
    """The two networks that generate the picture, used as one generator (see megbench.nets.inference.Painter)."""

    dense_motion: SplineDenseMotion
    inpainting: InpaintingNetwork

    def small(self, picture: Tensor) -> Tensor:
        """Return the picture as input to the dense motion network: (B, 3, H/4, W/4) with the published factor."""
        small: Tensor = self.dense_motion.down(picture)
        return small

    def features(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the features of a source (B, 3, H, W) RGB in [0, 1], finest first."""
        return self.inpainting.features(picture)

    def encode(self, picture: Tensor) -> Encoded:
        """Encode a source (B, 3, H, W) RGB in [0, 1], once for all frames."""
        return Encoded(picture, self.small(picture), self.features(picture))

    def motion(self, small: Tensor, source: SplinePoints, driving: SplinePoints) -> Motion:
        """Return the dense motion of a source that is already small, with the background at rest."""
        motion: Motion = self.dense_motion(small, source.value, driving.value)
        return motion

    def decode(self, encoded: Encoded, motion: Motion) -> Tensor:
        """Return the source moved by a motion: (B, 3, H, W) RGB in [0, 1]."""
        painted: Tensor = self.inpainting(encoded.picture, encoded.features, motion)
        return painted

    def occlusion_biases(self) -> list[Tensor]:
        """Return the biases of the layers that predict the masks, as logits of visibility."""
        return [head.bias for head in self.dense_motion.occlusion if isinstance(head.bias, Tensor)]


def networks(config: TpsConfig) -> dict[str, nn.Module]:
    """Return a configuration's networks, newly initialised and keyed by their names in published checkpoints."""
    return {
        "inpainting_network": InpaintingNetwork(config.inpainting),
        "dense_motion_network": SplineDenseMotion(config.dense_motion, config.num_tps, config.ridge),
        "kp_detector": SplineDetector(config.num_tps, config.resnet_width),
        "bg_predictor": SplineBackground(config.resnet_width),
        "avd_network": SplineAvd(config.avd, config.num_tps),
    }


def generator(nets: Mapping[str, nn.Module]) -> TpsGenerator:
    """Return the generator composed of two of the TPS networks."""
    motion, inpainting = nets["dense_motion_network"], nets["inpainting_network"]
    assert isinstance(motion, SplineDenseMotion)
    assert isinstance(inpainting, InpaintingNetwork)
    return TpsGenerator(motion, inpainting)


def transfer_points(source: Tensor, driving: Tensor, first: Tensor) -> Tensor:
    """Return points (B, 5K, 2) that move the source as the driver moves from `first`: p_s + m (p_d - p_d0).

    source and first have batch size 1. m is the ratio of the faces' sizes; the size of a face is the square root of the
    area of its points' convex hull. If a hull has no area, m is 1 (the published code fails in this case).
    """
    return source + hull_scale(source, first) * (driving - first)


def animator(
    config: TpsConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> Animator[SplinePoints]:
    """Return an animator that runs TPS in options["mode"], with the background at rest.

    "avd" needs the AVD network; "standard" uses the driver's points unchanged, for a driver with the same face.
    """
    made, mode = generator(nets), options["mode"]

    def transfer(source: SplinePoints, driving: SplinePoints, first: SplinePoints) -> SplinePoints:
        if mode == "standard":
            return driving
        if mode == "relative":
            return SplinePoints(transfer_points(source.value, driving.value, first.value))
        return SplinePoints(nets["avd_network"](source.value.expand_as(driving.value), driving.value))

    return Animator(made, transfer, made.motion, device, batch_size)


def detector(nets: Mapping[str, nn.Module], landmarks: None, device: str) -> nn.Module:
    """Return the network that finds the key points in a clip's pictures; it does not use landmarks."""
    return nets["kp_detector"]
