"""The plan of a training run: its stages, with their lengths, precision and schedules, and its learning rates."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from megbench.core.config import Count, Natural, Positive, Share
from megbench.core.contracts import OptimiserSpec
from megbench.core.errors import BenchError, check_choice


@dataclass(frozen=True)
class StagePlan:
    """One stage of training.

    steps: the number of optimiser steps, or 0 if `epochs` determines it.
    epochs: the length in epochs; an epoch visits every video `repeats` times, as in the published training procedures.
        A stage with neither steps nor epochs is left out.
    batch_size: the number of pairs per step, over all processes and parts.
    accumulate: the number of parts of a batch that a process works through one after another, to save memory. Batch
        normalisation then sees one part at a time.
    steps_per_epoch: the length of an epoch for milestones. If `epochs` is set, it is derived from the number of videos,
        `repeats` and `batch_size`.
    freeze_batch_norm_at: the step from which batch normalisation keeps the mean statistics of some batches, or None for
        never. This step must come late, when the learning rate is small, because a network degenerates if its
        statistics are frozen at the full rate.
    lr_scale: the factor by which every optimiser's learning rate is multiplied.
    """

    steps: int = 0
    batch_size: Count = 8
    epochs: Natural = 0
    repeats: Count = 1
    accumulate: Count = 1
    steps_per_epoch: Count = 1000
    freeze_batch_norm_at: int | None = None
    lr_scale: Positive = 1.0

    def on(self, videos: int) -> "StagePlan":
        """Return the stage with its length in steps for `videos` videos; incomplete batches are dropped."""
        if not self.epochs:
            return self
        per_epoch = max(1, videos * self.repeats // self.batch_size)
        return dataclasses.replace(self, steps=self.steps or self.epochs * per_epoch, steps_per_epoch=per_epoch)


@dataclass(frozen=True)
class Plan:
    """The stages by name, how they are computed, and how often the run logs, validates and saves.

    precision: "bf16" computes convolutions in bfloat16; geometry, softmaxes and losses stay in float32.
    ema: the decay of the moving average of the weights, which is then validated and kept. 0 means no average; .999 is
        usual.
    validate_every, log_every, keep_every: intervals in steps. With keep_every 0, there are no numbered checkpoints.
    save_seconds: the time between saved states.
    tensorboard: whether scalars for TensorBoard are written beside the log.
    """

    stages: dict[str, StagePlan] = field(default_factory=dict)
    seed: Natural = 0
    precision: Literal["float32", "bf16"] = "float32"
    ema: Share = 0.0
    validate_every: Count = 250
    validation_batches: Count = 8
    log_every: Count = 25
    keep_every: Natural = 0
    save_seconds: float = 60.0
    tensorboard: bool = False

    def on(self, videos: int) -> "Plan":
        """Return the plan with every stage's length in steps, for a training set of `videos` videos."""
        return dataclasses.replace(self, stages={name: stage.on(videos) for name, stage in self.stages.items()})


def check_plan(plan: Plan, stages: Sequence[str], processes: int) -> None:
    """Raise BenchError if the method lacks a stage, no stage has steps, or a batch cannot be divided."""
    for name in plan.stages:
        check_choice("stage", name, stages)
    if not any(stage.steps or stage.epochs for stage in plan.stages.values()):
        first = next(iter(plan.stages), stages[0])
        raise BenchError(f"No stage of the plan has any steps. Set plan.stages.{first}.steps to 1 or more.")
    for name, stage in plan.stages.items():
        if stage.steps < 0:
            raise BenchError(
                f"Stage {name} has {stage.steps} steps. Set plan.stages.{name}.steps to 1 or more, or to 0 to leave the"
                " stage out."
            )
        if stage.batch_size % (parts := stage.accumulate * processes):
            raise BenchError(
                f"Stage {name}: a batch of {stage.batch_size} cannot be divided into {stage.accumulate} parts on each"
                f" of {processes} processes. Set plan.stages.{name}.batch_size to a multiple of {parts}."
            )


@dataclass(frozen=True)
class Limits:
    """Limits at which a run stops before its plan is complete; its state is kept.

    steps: the total over all stages. minutes: the duration of this call.
    """

    steps: int | None = None
    minutes: float | None = None


def learning_rate(spec: OptimiserSpec, stage: StagePlan, step: int) -> float:
    """Return the learning rate of `spec` at a step of a stage.

    It follows the published milestones or decay, or a warm-up and then a cosine decay to 3 %.
    """
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
