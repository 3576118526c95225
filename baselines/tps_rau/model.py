"""TPS with relative action units (Zhao et al., MEGC2022): points are given; the decoder receives expression change.

The points are landmarks of the video's first frame and hence the same for the source and driving frames. Motion can
therefore come only from the difference in action units between the two frames, and only the decoder receives this
difference. The published code imports modules that it does not include and, by default, trains without action units.

Two of its choices defeat the purpose of the method. `RauConfig` therefore has a switch for each, and the default is the
corrected choice. `published` returns the published choices, which published weights need:

- `points` "sigmoid": pixels are mapped by 2 sigmoid(x) - 1. Practically every point is then (1, 1), so that all splines
  are equal and only the background's motion is useful. "normalised" (default): 2 x / (W - 1) - 1.
- `condition` "planes": the action units are constant planes appended to the decoder's features. The instance norms
  remove them except for what the zero padding leaves at the border (elsewhere, pictures change by 6e-5). "modulation"
  (default): the action units scale and shift the features after each norm. "none": the published network without
  action units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from megbench.baselines.tps.inpainting import InpaintingConfig, InpaintingNetwork
from megbench.baselines.tps.model import DropoutConfig, SplinePoints, TpsConfig, TpsGenerator
from megbench.baselines.tps.motion import SplineDenseMotion
from megbench.core.config import Count
from megbench.core.openface_units import LARGEST, OPENFACE
from megbench.nets.dense_motion import Motion
from megbench.nets.generator import Encoded
from megbench.nets.inference import Frames, levels, parts, pictures

# iBUG landmarks, 0-based; in this order, every five form a spline.
LANDMARKS = (1, 2, 5, 8, 9, 10, 13, 16, 17, *range(18, 29), *range(31, 61))


@dataclass(frozen=True)
class RauConfig(TpsConfig):
    """TPS with ten splines, no background, later and stronger dropout, and the switches described in this file.

    image_size: the size of the pictures in which the points are given. noise: half the width of the uniform noise added
    to the action units of either frame in training (intensity / 5).
    """

    background_start: int | None = None
    dropout: DropoutConfig = DropoutConfig(start=0.0, largest=0.7)
    points: Literal["normalised", "sigmoid"] = "normalised"
    condition: Literal["modulation", "planes", "none"] = "modulation"
    image_size: Count = 256
    noise: float = 0.02


def published(action_units: bool = True) -> RauConfig:
    """Return the published choices. If `action_units` is False, leave out action units, as in the published config."""
    return RauConfig(points="sigmoid", condition="planes" if action_units else "none")


def settings_of(states: Mapping[str, Mapping[str, Tensor]]) -> dict[str, str]:
    """Return the published choices with which published weights were trained, inferred from the shapes of the weights.

    Published weights may have been trained without planes of action units.
    """
    entering = states.get("inpainting_network", {}).get("up_blocks.0.conv.weight")
    plain = entering is not None and entering.shape[1] <= InpaintingConfig().width(3)
    return {"points": "sigmoid", "condition": "none" if plain else "planes"}


class GivenPoints(nn.Module):
    """The key point "detector": it has no parameters and converts landmarks in pixels to key points."""

    def __init__(self, kind: Literal["normalised", "sigmoid"], image_size: int) -> None:
        super().__init__()
        self.kind = kind
        self.image_size = image_size

    def forward(self, points: Tensor) -> SplinePoints:
        """Return the key points for points (B, 50, 2), given in pixels of a picture of size `image_size`."""
        if self.kind == "sigmoid":
            return SplinePoints(2 * torch.sigmoid(points) - 1)
        return SplinePoints(2 * points / (self.image_size - 1) - 1)


class ConditionedInpainting(InpaintingNetwork):
    """A decoder that receives action units either as planes or as a modulation of its norms.

    With planes, the names and shapes of weights are the published ones. Before training, nothing is modulated. If the
    action units of both frames are equal, nothing is ever modulated, because the layers have no bias.
    """

    def __init__(self, config: InpaintingConfig, condition: Literal["planes", "modulation"]) -> None:
        super().__init__(config, planes=len(OPENFACE) if condition == "planes" else 0)
        self.modulation: nn.ModuleList | None = None
        if condition == "modulation":
            norms = [norm for step in range(config.num_down_blocks) for norm in self._norms(step)]
            self.modulation = nn.ModuleList(
                nn.Linear(len(OPENFACE), 2 * norm.num_features, bias=False) for norm in norms
            )
            for layer in self.modulation:
                nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def _norms(self, step: int) -> list[nn.InstanceNorm2d]:
        """Return a stage's modulated norms: the second of each residual block and that of the upsampling block."""
        blocks = [self.resblock[2 * step], self.resblock[2 * step + 1]]
        return [*(block.norm2 for block in blocks), self.up_blocks[step].norm]  # type: ignore[list-item]

    def stage(self, step: int, x: Tensor, condition: Tensor | None) -> Tensor:
        """Return the features after two residual blocks and 2x upsampling.

        condition: differences in action units (B, 17), intensity / 5.
        """
        assert condition is not None, "this network needs action units"
        batch = max(len(x), len(condition))
        if self.modulation is None:
            planes = condition[:, :, None, None].expand(batch, -1, *x.shape[2:])
            return super().stage(step, torch.cat([x.expand(batch, -1, -1, -1), planes], dim=1), None)
        for index, block in enumerate((self.resblock[2 * step], self.resblock[2 * step + 1])):
            y = block.conv1(F.relu(block.norm1(x)))  # type: ignore[operator]
            y = block.conv2(F.relu(self._modulated(3 * step + index, block.norm2(y), condition)))  # type: ignore[operator]
            x = x + y
        up = self.up_blocks[step]
        return self.enlarged(step, up.norm(up.conv(F.interpolate(x, scale_factor=2))), condition)  # type: ignore[operator]

    def enlarged(self, step: int, y: Tensor, condition: Tensor) -> Tensor:
        """Return the normalised features (B, C, 2H, 2W) of a stage's upsampling block, modulated and after the ReLU."""
        return F.relu(self._modulated(3 * step + 2, y, condition))

    def _modulated(self, index: int, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(index, condition)
        return x * (1 + scale) + shift

    def scale_and_shift(self, index: int, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scales and offsets, (B, C, 1, 1) each, of norm `index` for differences in action units (B, 17)."""
        assert self.modulation is not None
        scale, shift = self.modulation[index](condition)[:, :, None, None].chunk(2, dim=1)
        return scale, shift


def networks(config: RauConfig) -> dict[str, nn.Module]:
    """Return a configuration's networks, newly initialised and keyed by their names in published checkpoints."""
    condition = config.condition
    inpainting = (
        InpaintingNetwork(config.inpainting)
        if condition == "none"
        else ConditionedInpainting(config.inpainting, condition)
    )
    return {
        "inpainting_network": inpainting,
        "dense_motion_network": SplineDenseMotion(config.dense_motion, config.num_tps, config.ridge),
        "kp_detector": GivenPoints(config.points, config.image_size),
    }


def given_points(landmarks: Tensor) -> Tensor:
    """Return the points (B, 50, 2) float32 for landmarks (B, 68, 2), in pixels."""
    return landmarks.to(torch.float32)[:, list(LANDMARKS)]


def au_difference(
    source: npt.NDArray[np.float64],
    driving: npt.NDArray[np.float64],
    noise: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
) -> npt.NDArray[np.float32]:
    """Return relative action units (N, 17), driving / 5 - source / 5, from OpenFace intensities 0..5, both (N, 17).

    noise: the noise that is added to source and driving and drawn anew in each training step. The published code adds
    noise during animation, too.
    """
    first, second = source / LARGEST, driving / LARGEST
    if noise is not None:
        first, second = first + noise[0], second + noise[1]
    return (second - first).astype(np.float32)


def generator(nets: Mapping[str, nn.Module]) -> TpsGenerator:
    """Return the generator composed of these networks; its decoder uses action units unless the condition is "none"."""
    motion, inpainting = nets["dense_motion_network"], nets["inpainting_network"]
    assert isinstance(motion, SplineDenseMotion)
    assert isinstance(inpainting, InpaintingNetwork)
    return TpsGenerator(motion, inpainting)


@dataclass(frozen=True)
class PointedFace:
    """A template prepared for animation: its features and its key points, with batch size 1."""

    encoded: Encoded
    points: SplinePoints


@dataclass(frozen=True)
class RauAnimator:
    """Inference: a template is encoded and moved once; frames are then painted in batches from their action units."""

    nets: Mapping[str, nn.Module]
    device: str
    batch_size: int

    def follow(
        self,
        face: PointedFace,
        intensity: npt.NDArray[np.float64],
        presence: npt.NDArray[np.float64],
        landmarks: npt.NDArray[np.float64] | None = None,
    ) -> Frames:
        """Return the template with the changes since a driver's first frame: uint8 (T, H, W, 3) RGB.

        intensity, presence: those of the driver, (T, 17) in OpenFace's order; presence is not used. landmarks: those of
        the driver's first frame, to which the template's geometry is moved, as published; None leaves it in place.
        """
        change = au_difference(np.broadcast_to(intensity[:1], intensity.shape), intensity)
        frames: Frames = self.animate(face, change, None if landmarks is None else self.points(landmarks))
        return frames

    def points(self, landmarks: npt.NDArray[np.float64]) -> SplinePoints:
        """Return the key points for landmarks (68, 2) in pixels, with batch size 1."""
        points: SplinePoints = self.nets["kp_detector"](given_points(torch.from_numpy(landmarks)[None]).to(self.device))
        return points

    @torch.inference_mode()
    def face(self, image: Frames, landmarks: npt.NDArray[np.float64]) -> PointedFace:
        """Encode a template, uint8 (H, W, 3) RGB, with its landmarks (68, 2) in pixels."""
        return PointedFace(generator(self.nets).encode(pictures(image[None], self.device)), self.points(landmarks))

    @torch.inference_mode()
    def animate(
        self, face: PointedFace, action_units: npt.NDArray[np.float32], driver: SplinePoints | None = None
    ) -> Frames:
        """Return the template animated by differences in action units (T, 17): uint8 (T, H, W, 3) RGB.

        driver: the driver's points, to which the template's geometry is moved, as published; None leaves it in place,
        as in training.
        """
        made = generator(self.nets)
        motion = made.motion(face.encoded.small, face.points, driver or face.points)
        units = torch.from_numpy(action_units).to(self.device)
        return np.concatenate(
            [levels(self.paint(face, motion, units[part])) for part in parts(len(units), self.batch_size)]
        )

    def paint(self, face: PointedFace, motion: Motion, units: Tensor) -> Tensor:
        """Return the template moved by one motion and painted with differences in action units (B, 17).

        The result is (B, 3, H, W) in [0, 1].
        """
        painted: Tensor = self.nets["inpainting_network"](face.encoded.picture, face.encoded.features, motion, units)
        return painted.expand(len(units), -1, -1, -1)


def animator(
    config: RauConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> RauAnimator:
    """Return an animator that runs these networks.

    The mode decides only whether `RauAnimator.follow` receives the driver's landmarks.
    """
    return RauAnimator(nets, device, batch_size)
