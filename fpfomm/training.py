"""The published training procedure of FPB-FOMM: FOMM's losses, including the adversarial ones, with given points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from megbench.core.contracts import Phase
from megbench.core.recipe import recipe
from megbench.core.weights.network_weights import VGG19
from megbench.fpfomm.model import FpFommConfig, PriorGuidedDetector, networks
from megbench.fpfomm.points import given_points
from megbench.nets.keypoints import KeyPoints
from megbench.nets.objective import PublishedTrainer, pair_step


class FpFommTrainer(PublishedTrainer):
    """The published training procedure of FPB-FOMM (megbench.core.contracts.Trainable).

    Batches contain `source` and `driving`, (B, 3, 256, 256) float32 in [0, 1], two frames of one video, and
    `landmarks`, (B, 68, 2), in pixels of the video's frame 0. As published, the source, driving and transformed
    pictures share one set of points. Therefore equivariance_value depends only on the random transform; it has no
    gradient, and a weight of 0 switches it off. For the same reason, equivariance_jacobian compares jacobians at the
    same point rather than at the transformed one. If a video is mirrored, its landmarks must be mirrored too. The
    published loader does not do this; megbench.fpfomm.points.mirrored_points does it for the 18 points. Raises
    BenchError if the config requires the VGG-19 loss and `vgg` does not exist.
    """

    def __init__(self, config: FpFommConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the phase of the generator and the detector, then (with generator_gan) that of the discriminator."""
        source, driving = batch["source"], batch["driving"]
        detector = self._networks["kp_detector"]
        assert isinstance(detector, PriorGuidedDetector)
        points = given_points(batch["landmarks"])
        prior = detector.prior(points, driving.shape[-1] // self.config.detector.down)

        def detect(picture: Tensor) -> KeyPoints:
            found: KeyPoints = detector(picture, points, prior)
            return found

        transform = self.random_transform(driving, rng)
        vgg = self.judge(driving)
        yield from pair_step(self.config.loss, vgg, self._networks, detect, source, driving, transform)


# Settings for training FPB-FOMM; the defaults are the published ones.
Recipe = recipe({"model": FpFommConfig()}, FpFommTrainer, networks)
