"""Train generators that are driven by action units and warp their picture by output maps (taught/displaced.py).

Like taught/trainer.py, this is for the demo weights; it is not the published training procedure.
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
    """The learning rate, its warm-up, and the limit on gradients."""

    lr: Positive = 1e-3
    clip_norm: Positive = 5.0
    warmup: float = 0.03


@dataclass(frozen=True)
class Painting:
    """The output of a model.

    maps: (B, 3, S, S), the output maps. found: (B, 3, S, S) in [0, 1], the picture that should equal `target`.
    attention: (B, 1, S, S), 1 keeps the source; None if a network has no attention.
    """

    maps: Tensor
    found: Tensor
    target: Tensor
    attention: Tensor | None = None


class UnitsPupil(Protocol):
    """A model driven by action units that can be trained on exact motion."""

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks to be trained, keyed by their names in published checkpoints."""

    def paint(self, batch: Mapping[str, Tensor]) -> Painting:
        """Paint the batch's source with its target action units; for the batch's contents, see taught/rendered.py."""


class TaughtUnitsTrainer:
    """A trainer with a single stage, "picture", for any model driven by action units."""

    stages: tuple[str, ...] = ("picture",)

    def __init__(self, pupil: UnitsPupil, config: TaughtUnitsConfig) -> None:
        self.pupil = pupil
        self.config = config

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks of the model."""
        return self.pupil.networks()

    def optimisers(self, stage: str) -> dict[str, OptimiserSpec]:
        """Return one Adam optimiser for all networks that have parameters."""
        config = self.config
        networks = tuple(name for name, network in self.networks().items() if list(network.parameters()))
        return {"all": OptimiserSpec(networks, config.lr, clip_norm=config.clip_norm, warmup=config.warmup)}

    def step(
        self, stage: str, batch: Mapping[str, Tensor], epoch: int, index: int, rng: np.random.Generator
    ) -> Iterator[Phase]:
        """Yield one phase per step; the batch comes from `megbench.taught.rendered.RenderedSet`."""
        painting = self.pupil.paint(batch)
        grid = batch["grid"]
        found = resized_grid(displacement(painting.maps), grid.shape[1], grid.shape[2], align_corners=True)
        names = ("motion", "direction", "shortfall")
        losses = dict(zip(names, flow_losses(found, grid, batch["face"]), strict=True))
        losses |= picture_losses(painting.found, painting.target)
        if painting.attention is not None:
            losses["attention"] = rest_loss(painting.attention, grid)
        yield Phase(("all",), losses)
