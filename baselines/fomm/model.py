"""FOMM, the First Order Motion Model (Siarohin et al., NeurIPS 2019), vox-256 sizes by default."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from megbench.core.config import Count, Positive
from megbench.nets.dense_motion import DenseMotionConfig
from megbench.nets.discriminator import Discriminator, DiscriminatorConfig
from megbench.nets.generator import GeneratorConfig
from megbench.nets.geometry import soft_argmax
from megbench.nets.inference import Animator
from megbench.nets.keypoints import DetectorConfig, JacobianDetector, KeyPointGenerator, KeyPoints
from megbench.nets.losses import LossConfig
from megbench.nets.transfer import transfer_key_points
from megbench.nets.transform import TransformConfig


@dataclass(frozen=True)
class FommConfig:
    """Sizes and training settings; the defaults are those of vox-256.

    vox-256 builds and saves a discriminator that it never trains (loss.generator_gan 0). vox-adv-256 has
    loss.generator_gan 1, discriminator.use_kp True and spectral_norm False, and 150 epochs without milestones.
    steadied: whether drivers are steadied (megbench.faces.steady) unless the option `steady` says otherwise.
    """

    num_kp: Count = 10
    steadied: bool = False
    align_corners: bool = True
    detector: DetectorConfig = DetectorConfig()
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig(spectral_norm=True)
    loss: LossConfig = LossConfig()
    transform: TransformConfig = TransformConfig()
    lr: Positive = 2e-4
    milestones: tuple[int, ...] = (60, 90)


class KeyPointDetector(JacobianDetector):
    """A detector of key points and their jacobians in pictures (B, 3, H, W) in [0, 1].

    A key point is the soft-argmax of a learned heatmap.
    """

    def __init__(self, config: DetectorConfig, num_kp: int) -> None:
        super().__init__(config, num_kp, channels_in=3)

    def detect(self, small: Tensor) -> KeyPoints:
        """Return the key points of pictures that are already small (64x64).

        Several batches may be concatenated into one.
        """
        heatmap, jacobian = self.heatmap_and_jacobian(small)
        # As published, the grid is stretched over the positions that the unpadded 7x7 head leaves (58 of 64).
        return KeyPoints(soft_argmax(heatmap), jacobian, heatmap)

    def forward(self, picture: Tensor) -> KeyPoints:
        """Return the key points of full pictures."""
        return self.detect(self.down(picture))


def networks(config: FommConfig) -> dict[str, nn.Module]:
    """Return a configuration's networks, newly initialised and keyed by their names in published checkpoints."""
    return {
        "generator": KeyPointGenerator(config.generator, config.dense_motion, config.num_kp, config.align_corners),
        "kp_detector": KeyPointDetector(config.detector, config.num_kp),
        "discriminator": Discriminator(config.discriminator, config.num_kp),
    }


def animator(
    config: FommConfig, nets: Mapping[str, nn.Module], options: Mapping[str, str], device: str, batch_size: int
) -> Animator[KeyPoints]:
    """Return an animator that runs FOMM; for options["mode"] see megbench.nets.transfer."""
    generator = nets["generator"]
    assert isinstance(generator, KeyPointGenerator)
    transfer = functools.partial(transfer_key_points, mode=options["mode"])  # type: ignore[arg-type]
    return Animator(generator, transfer, generator.motion, device, batch_size)


def detector(nets: Mapping[str, nn.Module], landmarks: None, device: str) -> nn.Module:
    """Return the network that finds the key points in a clip's pictures; it does not use landmarks."""
    return nets["kp_detector"]
