"""The published training procedure of FOMM."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from megbench.baselines.fomm.model import FommConfig, networks
from megbench.core.contracts import Phase
from megbench.core.recipe import recipe
from megbench.core.weights.network_weights import VGG19
from megbench.nets.objective import PublishedTrainer, pair_step


class FommTrainer(PublishedTrainer):
    """The published training procedure of FOMM (megbench.core.contracts.Trainable).

    A batch contains `source` and `driving`, each (B, 3, 256, 256) float32 in [0, 1]; the two frames of a sample come
    from one video. As published, vox-256 saves its discriminator but never runs it (generator_gan 0). Raises BenchError
    if the config requires the VGG-19 loss and `vgg` does not exist.
    """

    def __init__(self, config: FommConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the phase of the generator and detector and, if generator_gan is not 0, that of the discriminator."""
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


# Settings for training FOMM; the defaults are the published ones.
Recipe = recipe({"model": FommConfig()}, FommTrainer, networks)
