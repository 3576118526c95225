"""FOMM, the First Order Motion Model (Siarohin et al., NeurIPS 2019), vox-256 sizes by default."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from core.contracts import Phase
from core.weights import VGG19
from nets.dense_motion import DenseMotionConfig
from nets.discriminator import Discriminator, DiscriminatorConfig
from nets.generator import GeneratorConfig
from nets.geometry import soft_argmax
from nets.inference import Animator
from nets.keypoints import DetectorConfig, JacobianDetector, KeyPointGenerator, KeyPoints
from nets.losses import LossConfig
from nets.objective import PublishedTrainer, pair_step
from nets.transfer import TransferMode, transfer_key_points
from nets.transform import TransformConfig


@dataclass(frozen=True)
class FommConfig:
    """Sizes and training numbers; the defaults are vox-256.

    vox-256 builds and saves a discriminator it never trains (loss.generator_gan 0); vox-adv-256 is
    loss.generator_gan 1, discriminator.use_kp True and spectral_norm False, 150 epochs without milestones.
    """

    num_kp: int = 10
    align_corners: bool = True
    detector: DetectorConfig = DetectorConfig()
    dense_motion: DenseMotionConfig = DenseMotionConfig()
    generator: GeneratorConfig = GeneratorConfig()
    discriminator: DiscriminatorConfig = DiscriminatorConfig(spectral_norm=True)
    loss: LossConfig = LossConfig()
    transform: TransformConfig = TransformConfig()
    lr: float = 2e-4
    milestones: tuple[int, ...] = (60, 90)


class KeyPointDetector(JacobianDetector):
    """Key points by soft-argmax of learned heatmaps, with jacobians. Pictures are RGB (B, 3, H, W) in [0, 1]."""

    def __init__(self, config: DetectorConfig, num_kp: int) -> None:
        super().__init__(config, num_kp, channels_in=3)

    def detect(self, small: Tensor) -> KeyPoints:
        """Key points of pictures that are already small (64x64); several calls may be one concatenated batch."""
        heatmap, jacobian = self.heatmap_and_jacobian(small)
        # As published, the grid is stretched over the positions the unpadded 7x7 head leaves (58 of 64).
        return KeyPoints(soft_argmax(heatmap), jacobian, heatmap)

    def forward(self, picture: Tensor) -> KeyPoints:
        """Key points of full pictures."""
        return self.detect(self.down(picture))


def networks(config: FommConfig) -> dict[str, nn.Module]:
    """The networks of a configuration by the published checkpoints' names, with fresh weights."""
    return {
        "generator": KeyPointGenerator(config.generator, config.dense_motion, config.num_kp, config.align_corners),
        "kp_detector": KeyPointDetector(config.detector, config.num_kp),
        "discriminator": Discriminator(config.discriminator, config.num_kp),
    }


class FommTrainer(PublishedTrainer):
    """The published training of FOMM (core.contracts.Trainable).

    Batches hold `source` and `driving`, (B, 3, 256, 256) float32 in [0, 1], two frames of one video. As published,
    vox-256 never runs its discriminator (generator_gan 0); it is saved all the same. BenchError if the config asks
    for the VGG-19 loss and `vgg` does not exist.
    """

    def __init__(self, config: FommConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """The generator's and detector's phase, then with generator_gan the discriminator's."""
        source, driving = batch["source"], batch["driving"]
        yield from pair_step(
            self.config.loss,
            self.judge(driving),
            self._networks,
            self._networks["kp_detector"],
            source,
            driving,
            self.random_transform(driving, rng),
        )


def animator(nets: Mapping[str, nn.Module], mode: TransferMode, device: str, batch_size: int) -> Animator[KeyPoints]:
    """FOMM's inference; `mode` as in nets.transfer."""
    generator = nets["generator"]
    assert isinstance(generator, KeyPointGenerator)

    def transfer(source: KeyPoints, driving: KeyPoints, first: KeyPoints) -> KeyPoints:
        return transfer_key_points(source, driving, first, mode)

    return Animator(generator, transfer, generator.motion, device, batch_size)
