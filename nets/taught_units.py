"""Teaching generators that are driven by action units: pictures of the same face before and after, and what changed.

For the demo weights, as nets/taught.py; not the published training. Micro-expressions change so little that a still
picture is a strong optimum of every photometric loss, so the change itself is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.contracts import OptimiserSpec, Phase
from nets.taught_losses import picture_losses

# Mean absolute difference, in boxes, of two pictures of one face that is as good as none: the camera's noise.
TOLERANCE = 0.001
# Side of the boxes over which the change is averaged, so that noise does not count as change.
BOX = 4


@dataclass(frozen=True)
class TaughtUnitsConfig:
    """Learning rate and its warm-up, clipping, and the weight of the change against the pictures' losses."""

    lr: float = 1e-3
    clip_norm: float = 5.0
    warmup: float = 0.03
    change_weight: float = 1.0


class UnitsPupil(Protocol):
    """A model driven by action units that can be taught."""

    def networks(self) -> dict[str, nn.Module]:
        """The networks this training teaches, by the published checkpoints' names."""

    def paint(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """The batch's source under its target action units, source and target, as the model sees them.

        Each (B, 3, S, S) in [0, 1]; see training/rendered.py for the batch.
        """


class TaughtUnitsTrainer:
    """The one stage of this training, "picture", for any pupil."""

    stages: tuple[str, ...] = ("picture",)

    def __init__(self, pupil: UnitsPupil, config: TaughtUnitsConfig) -> None:
        self.pupil = pupil
        self.config = config

    def networks(self) -> dict[str, nn.Module]:
        """The pupil's networks."""
        return self.pupil.networks()

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """One Adam over everything."""
        config = self.config
        networks = tuple(name for name, network in self.networks().items() if list(network.parameters()))
        return {"all": OptimiserSpec(networks, config.lr, clip_norm=config.clip_norm, warmup=config.warmup)}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """One phase a step; the batch is that of `training.rendered.RenderedSet`."""
        found, source, target = self.pupil.paint(batch)
        losses = picture_losses(found, target)
        losses["change"] = self.config.change_weight * change_loss(found, source, target)
        yield Phase(("all",), losses)


def change_loss(found: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of |found - target| / (|target - source| + tolerance), pictures (B, 3, H, W) in boxes.

    A still picture loses nearly 1 for any expression that shows above the noise, a perfect one nothing; pairs that do
    not change count by what is painted on them.
    """
    wrong = F.avg_pool2d(found - target, BOX).abs().mean((1, 2, 3))
    wanted = F.avg_pool2d(target - source, BOX).abs().mean((1, 2, 3))
    return torch.mean(wrong / (wanted + TOLERANCE))
