"""FPB-FOMM (Zhang et al., MM '21): FOMM with given key points and a detector guided by a facial prior.

The learned heatmaps only weight the jacobians; the points themselves are given. Within a video, the source and driving
frames share one set of points, so all motion comes from the jacobians: T_k(z) = p_k + J_s J_d^-1 (z - p_k).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from megbench.core.config import Count, Positive
from megbench.fpfomm.points import NUM_POINTS, given_points
from megbench.fpfomm.prior import PriorConfig, prior_map
from megbench.nets.dense_motion import DenseMotionConfig
from megbench.nets.discriminator import Discriminator, DiscriminatorConfig
from megbench.nets.generator import GeneratorConfig
from megbench.nets.geometry import in_float32
from megbench.nets.inference import Animator
from megbench.nets.keypoints import DetectorConfig, JacobianDetector, KeyPointGenerator, KeyPoints
from megbench.nets.losses import LossConfig
from megbench.nets.transfer import transfer_key_points
from megbench.nets.transform import TransformConfig


@dataclass(frozen=True)
class FpFommConfig:
    """Sizes and training settings; the defaults are the published ones. There are always 18 points.

    steadied: whether drivers are steadied (megbench.faces.steady) unless the option `steady` says otherwise.
    """

    image_size: Count = 256
    steadied: bool = False
    align_corners: bool = True
    prior: PriorConfig = PriorConfig()
    detector: DetectorConfig = DetectorConfig()
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    loss: LossConfig = LossConfig(generator_gan=1.0)
    transform: TransformConfig = TransformConfig()
    lr: Positive = 2e-4
    milestones: tuple[int, ...] = (60, 90)


class PriorGuidedDetector(JacobianDetector):
    """A detector of jacobians at given points. Its input is a picture with the prior map as a fourth channel.

    Pictures are RGB (B, 3, S, S) in [0, 1]; points (B, 18, 2) are in pixels of the full picture (see
    megbench.fpfomm.points).
    """

    def __init__(self, config: DetectorConfig, prior: PriorConfig, image_size: int) -> None:
        super().__init__(config, NUM_POINTS, channels_in=4)
        self.prior_config = prior
        self.image_size = image_size

    def prior(self, points: Tensor, map_size: int) -> Tensor:
        """Return the prior map for points: (B, 1, map_size, map_size) float32. It is constant over a clip."""
        return prior_map(self.prior_config, points, self.image_size, map_size).float()

    @in_float32
    def detect(self, small: Tensor, points: Tensor, prior: Tensor | None = None) -> KeyPoints:
        """Return the key points of small pictures (64x64); several batches may be concatenated into one.

        points: in pixels of the full picture. prior: (B or 1, 1, h, w), or None to compute it from the points.
        """
        if prior is None:
            prior = self.prior(points, small.shape[-1])
        guided = torch.cat([small, prior.expand(len(small), -1, -1, -1)], dim=1)  # B 4 h w
        heatmap, jacobian = self.heatmap_and_jacobian(guided)
        value = (points * 2 / self.image_size - 1).to(jacobian.dtype).expand(len(small), -1, -1)
        return KeyPoints(value, jacobian, heatmap)

    def forward(self, picture: Tensor, points: Tensor, prior: Tensor | None = None) -> KeyPoints:
        """Return the key points of full pictures."""
        return self.detect(self.down(picture), points, prior)


def networks(config: FpFommConfig) -> dict[str, nn.Module]:
    """Return a configuration's networks, newly initialised and keyed by their names in published checkpoints."""
    return {
        "generator": KeyPointGenerator(config.generator, config.dense_motion, NUM_POINTS, config.align_corners),
        "kp_detector": PriorGuidedDetector(config.detector, config.prior, config.image_size),
        "discriminator": Discriminator(config.discriminator, NUM_POINTS),
    }


def animator(
    config: FpFommConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> Animator[KeyPoints]:
    """Return an animator that runs FPB-FOMM; for options["mode"] see megbench.nets.transfer.

    Since the points are constant over a clip, the template's points never move in relative modes, and all motion is
    J_d0 J_d^-1. "absolute" moves the template's geometry to the driver's; in training, this never happens.
    """
    generator = nets["generator"]
    assert isinstance(generator, KeyPointGenerator)
    transfer = functools.partial(transfer_key_points, mode=options["mode"])  # type: ignore[arg-type]
    return Animator(generator, transfer, generator.motion, device, batch_size)


def detector(
    nets: Mapping[str, nn.Module], landmarks: npt.NDArray[np.float64], device: str
) -> Callable[[Tensor], KeyPoints]:
    """Return a function that finds the key points in the pictures of a clip.

    landmarks: (68, 2), the landmarks in frame 0 of the clip, in pixels. The prior map is computed once for the clip.
    """
    network = nets["kp_detector"]
    assert isinstance(network, PriorGuidedDetector)
    points = given_points(torch.from_numpy(landmarks)[None]).to(device)
    prior = network.prior(points, network.image_size // network.down.factor)

    def detect(picture: Tensor) -> KeyPoints:
        found: KeyPoints = network(picture, points, prior)
        return found

    return detect
