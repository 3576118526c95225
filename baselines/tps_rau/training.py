"""The published training procedure of TPS with relative action units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from megbench.baselines.tps.motion import Dropout
from megbench.baselines.tps.training import adam, drawn, reconstruction
from megbench.baselines.tps_rau.model import RauConfig, generator, given_points, networks
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.core.draws import each
from megbench.core.openface_units import OPENFACE, needed
from megbench.core.recipe import recipe
from megbench.core.weights.network_weights import VGG19
from megbench.nets.objective import PublishedTrainer
from megbench.nets.thin_plate import ThinPlate


class RauTrainer(PublishedTrainer):
    """The training procedure of TPS with relative action units (megbench.core.contracts.Trainable).

    A batch contains `source` and `driving`, each (B, 3, S, S) float32 in [0, 1], where the two frames of a sample come
    from one video; `landmarks`, (B, 68, 2), in pixels of the video's first frame; and `action_units_source` and
    `action_units_driving`, each (B, 17), OpenFace intensities / 5. As published, the source, driving and transformed
    pictures have the same points, so that equivariance_value depends only on the random transform. Two defects are
    corrected: landmarks are mirrored with the picture, and action units are swapped along with the frames. See
    megbench.baselines.tps_rau.model for the switches. Raises BenchError if the config requires the VGG-19 loss and
    `vgg` does not exist.
    """

    def __init__(self, config: RauConfig, vgg: Path = VGG19) -> None:
        self.config = config
        super().__init__(config, networks(config), vgg)

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return one Adam optimiser per network; the given points have no parameters to train."""
        return {name: adam(self.config, name) for name in ("inpainting_network", "dense_motion_network")}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield the only phase."""
        driving = batch["driving"]
        own = each(rng, len(driving))
        dropout, transform = drawn(self.config, driving, epoch, own)
        draws = np.stack([one.random((2, len(OPENFACE)), dtype=np.float32) for one in own], axis=1)
        noise = self.config.noise * (2 * draws - 1)
        first, second = torch.from_numpy(noise).to(driving.device)
        change = (needed(batch, "action_units_driving") + second) - (needed(batch, "action_units_source") + first)
        yield self.phase(batch["source"], driving, given_points(batch["landmarks"]), change, dropout, transform)

    def phase(
        self,
        source: Tensor,
        driving: Tensor,
        points: Tensor,
        change: Tensor,
        dropout: Dropout | None,
        transform: ThinPlate,
    ) -> Phase:
        """Return the phase for points (B, 50, 2) in pixels and differences in action units (B, 17)."""
        config = self.config
        value = self._networks["kp_detector"](points).value
        made = generator(self._networks)
        encoded = made.encode(source)
        motion = made.dense_motion(encoded.small, value, value, None, dropout)
        told = None if config.condition == "none" else change
        terms = reconstruction(config, self.vgg, made, encoded, motion, told, driving, (value, value), transform)
        return Phase(("inpainting_network", "dense_motion_network"), terms)


# Settings for training TPS with relative action units, as published except for the corrected switches in its config.
Recipe = recipe({"model": RauConfig()}, RauTrainer, networks)
