"""Teaching generators that are driven by action units, whose picture is moved by what they paint (taught/displaced.py).

For the demo weights, as taught/trainer.py; not the published training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, nn

from megbench.core.config import Positive
from megbench.core.contracts import OptimiserSpec, Phase
from megbench.nets.geometry import resized_grid
from megbench.taught.displaced import displacement
from megbench.taught.losses import flow_losses, picture_losses, rest_loss


@dataclass(frozen=True)
class TaughtUnitsConfig:
    """Learning rate with its warm-up, and clipping."""

    lr: Positive = 1e-3
    clip_norm: Positive = 5.0
    warmup: float = 0.03


@dataclass(frozen=True)
class Painting:
    """maps: what was painted, (B, 3, S, S). found: the picture that is to be `target`, (B, 3, S, S) in [0, 1].

    attention: (B, 1, S, S), 1 keeps the source; None where a network has none.
    """

    maps: Tensor
    found: Tensor
    target: Tensor
    attention: Tensor | None = None


class UnitsPupil(Protocol):
    """A model driven by action units that can be taught."""

    def networks(self) -> dict[str, nn.Module]:
        """The networks this training teaches, by the published checkpoints' names."""

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """The batch's source under its target action units; see taught/rendered.py for the batch."""


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
        """One phase a step; the batch is that of `megbench.taught.rendered.RenderedSet`."""
        painting = self.pupil.paint(batch)
        grid = batch["grid"]
        found = resized_grid(displacement(painting.maps), grid.shape[1], grid.shape[2], align_corners=True)
        names = ("motion", "direction", "shortfall")
        losses = dict(zip(names, flow_losses(found, grid, batch["face"]), strict=True))
        losses |= picture_losses(painting.found, painting.target)
        if painting.attention is not None:
            losses["attention"] = rest_loss(painting.attention, grid)
        yield Phase(("all",), losses)
