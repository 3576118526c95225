"""What a training run is: its stages with their lengths, and how learning rates run."""

import math
from dataclasses import dataclass, field

from core.contracts import OptimiserSpec


@dataclass(frozen=True)
class StagePlan:
    """One stage of a training.

    steps: how many optimiser steps. batch_size: pairs a step. steps_per_epoch: what counts as an epoch for milestones.
    freeze_batch_norm_at: step at which batch normalisation takes the mean statistics of some batches and keeps them
    from then on (None: never). Late, while the learning rate is small: frozen at full rate a network falls apart.
    lr_scale: factor on every optimiser's learning rate.
    """

    steps: int = 0
    batch_size: int = 8
    steps_per_epoch: int = 1000
    freeze_batch_norm_at: int | None = None
    lr_scale: float = 1.0


@dataclass(frozen=True)
class Plan:
    """The stages by name, and how often the run looks up: validation, log, saved state (steps and seconds)."""

    stages: dict[str, StagePlan] = field(default_factory=dict)
    seed: int = 0
    validate_every: int = 250
    validation_batches: int = 8
    log_every: int = 25
    save_seconds: float = 60.0


def learning_rate(spec: OptimiserSpec, stage: StagePlan, step: int) -> float:
    """Learning rate of `spec` at a step of a stage: published milestones or decay, or warm-up and cosine to 3 %."""
    epoch = step // stage.steps_per_epoch
    if spec.decay is not None:
        first, last = spec.decay
        return spec.lr * stage.lr_scale * min(max((last - epoch) / (last - first), 0.0), 1.0)
    if spec.warmup <= 0:
        return spec.lr * stage.lr_scale * math.prod(0.1 for milestone in spec.milestones if epoch >= milestone)
    warm = max(1, round(spec.warmup * stage.steps))
    if step < warm:
        return spec.lr * stage.lr_scale * (step + 1) / warm
    progress = (step - warm) / max(1, stage.steps - warm)
    return spec.lr * stage.lr_scale * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * progress)))
