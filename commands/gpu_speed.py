"""Measure how fast a device generates and trains, how much memory it uses, and how many operations this takes."""

from __future__ import annotations

import functools
import gc
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from megbench.baselines import GENERATORS
from megbench.commands.gpu_material import Material
from megbench.core.config import build, resolve
from megbench.core.generator import Generator, descriptors, networks_at
from megbench.core.peak_memory import forget_peak, peak_mb
from megbench.core.registry import load
from megbench.methods.generator import BATCH_SIZES
from megbench.nets.fast import rearrange
from megbench.training import TRAINABLES
from megbench.training.command import PUBLISHED
from megbench.training.loop import TrainingRun
from megbench.training.plan import Plan, StagePlan
from megbench.training.processes import Group

Precision = Literal["float32", "bf16"]

# The number of steps in one cycle of training: ULME-GAN's generator is updated only in every fifth step.
CYCLE = 5
HOURGLASS = {"hourglass": {"block_expansion": 8, "max_features": 32}}
NARROW = {"block_expansion": 8, "max_features": 32}
LIKE_FOMM = {"detector": HOURGLASS, "dense_motion": HOURGLASS, "generator": {**NARROW, "num_bottleneck_blocks": 1}}
LIKE_TPS = {"resnet_width": 16, "dense_motion": HOURGLASS, "inpainting": NARROW}
# Network widths at which a CPU finishes everything within a minute.
SMALL: Mapping[str, Mapping[str, Any]] = {
    "fpfomm": {**LIKE_FOMM, "discriminator": NARROW},
    "fomm": LIKE_FOMM,
    "mraa": {**LIKE_FOMM, "background": NARROW},
    "tps": LIKE_TPS,
    "tps_rau": LIKE_TPS,
    "ulmegan": {"width": 8, "discriminator_width": 8},
}


@dataclass(frozen=True)
class Scale:
    """The amount of work to measure.

    sizes: the networks' settings by generator; networks without settings have their published sizes. frames: the number
    of the driver's frames. rounds: how often the driver is animated; the fastest round counts. pairs: the number of
    pairs in a training step. first: the number of training steps that are run first and not measured. steps: the number
    of those that are measured.
    """

    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    frames: int = 256
    rounds: int = 3
    pairs: int = 16
    first: int = CYCLE
    steps: int = 4 * CYCLE
    precisions: tuple[Precision, ...] = ("float32", "bf16")


SCALES = {"cuda": Scale(), "cpu": Scale(SMALL, 4, 1, 1, 0, 1, ("float32",))}


@dataclass(frozen=True)
class Speed:
    """The measured speed and memory use of generation or training.

    per_second: frames or pairs per second. memory_mb: the peak memory of the GPU or of this process, in megabytes of
    10^6 bytes; None if the system does not report it.
    """

    per_second: float
    memory_mb: float | None


@dataclass(frozen=True)
class Built:
    """A generator's networks with random weights, on which speed does not depend, and their settings."""

    generator: Generator
    config: Any
    networks: Mapping[str, nn.Module]

    @classmethod
    def of(cls, name: str, scale: Scale) -> Built:
        """Build the networks on the CPU in eval mode, without the rearrangements of nets/fast.py."""
        generator = descriptors(GENERATORS)[name]
        module, kind = networks_at(generator.model)
        config = build(kind, dict(scale.sizes.get(name, {})), "model")
        networks = {key: network.eval().requires_grad_(False) for key, network in module.networks(config).items()}
        return cls(generator, config, networks)

    def animate(self, n_frames: int, device: str, material: Material) -> None:
        """Read a template and a driver, paint all frames, and copy them back from the networks' device."""
        mode = next(iter(self.generator.modes))
        options = {"mode": mode, **{option: choices[0] for option, choices in self.generator.options.items()}}
        module, _ = networks_at(self.generator.model)
        animator = module.animator(self.config, self.networks, options, device, BATCH_SIZES[device])
        material.scene(n_frames).animated(self.generator, mode, animator, self.networks, device)


def generation(name: str, precision: Precision, device: str, material: Material) -> Speed:
    """Measure generation in frames per second: read a template and a driver, paint all frames and copy them back."""
    scale = SCALES[device]
    built = Built.of(name, scale)
    for network in built.networks.values():
        rearrange(network.to(device))
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
        if device != "cpu":
            # In this call, libraries are loaded and choose their algorithms.
            built.animate(BATCH_SIZES[device], device, material)
        forget(device)
        seconds = min(timed(lambda: built.animate(scale.frames, device, material), device) for _ in range(scale.rounds))
    return Speed(scale.frames / seconds, peak(device))


def training(name: str, precision: Precision, device: str, material: Material) -> Speed:
    """Measure training: how many pairs per second it processes.

    The losses are the published ones, but the perceptual loss is the one that needs no weights. The batch is drawn once
    beforehand, because the time that the CPU takes to draw batches should not be measured.
    """
    scale = SCALES[device]
    trainer = published(name, scale)
    stage = trainer.stages[0]
    plan = Plan({stage: StagePlan(steps=scale.first + scale.steps, batch_size=scale.pairs)}, precision=precision)
    forget(device)
    with tempfile.TemporaryDirectory() as folder:
        batches = material.batches(PUBLISHED)
        steps = TrainingRun(trainer, batches, plan, Path(folder), Group(torch.device(device))).repeated(stage)
        for _ in range(scale.first):
            next(steps)
        seconds = timed(lambda: [next(steps) for _ in range(scale.steps)], device)
    return Speed(scale.pairs * scale.steps / seconds, peak(device))


def frame_flops(name: str, device: str, material: Material) -> float:
    """Return the number of floating-point operations per frame: the number for two frames minus the number for one."""
    built = Built.of(name, SCALES[device])
    for network in built.networks.values():
        network.to(device)
    one, two = (counted(functools.partial(built.animate, count, device, material)) for count in (1, 2))
    return two - one


def published(name: str, scale: Scale) -> Any:
    """Return a generator's training from fresh weights, with the losses described in `training`."""
    kind: Any = load("trainable", name, TRAINABLES)
    loss = {"loss": {"perceptual": "pyramid"}} if hasattr(kind().model, "loss") else {}
    return resolve(kind, [{"model": {**scale.sizes.get(name, {}), **loss}}]).trainer()


def step_flops(name: str, device: str, material: Material) -> float:
    """Return the number of floating-point operations per training pair, averaged over a cycle of steps."""
    scale = SCALES[device]
    trainer = published(name, scale)
    stage = trainer.stages[0]
    plan = Plan({stage: StagePlan(steps=CYCLE, batch_size=scale.pairs)})
    with tempfile.TemporaryDirectory() as folder:
        batches = material.batches(PUBLISHED)
        steps = TrainingRun(trainer, batches, plan, Path(folder), Group(torch.device(device))).repeated(stage)
        return counted(lambda: [next(steps) for _ in range(CYCLE)]) / (CYCLE * scale.pairs)


class FlopCounter(TorchDispatchMode):
    """Count the operations in matrix products and convolutions, using PyTorch's own formulas.

    torch.utils.flop_counter.FlopCounterMode also tracks modules, which fails if a gradient is differentiated again, as
    in ULME-GAN's gradient penalty.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and add its floating-point operations, or else those of the operations it is composed of."""
        formula, named = flop_registry.get(func._overloadpacket), kwargs or {}
        if formula is None:
            with self:
                parts = func.decompose(*args, **named)
            if parts is not NotImplemented:
                return parts
        result = func(*args, **named)
        if formula is not None:
            self.total += int(formula(*args, **named, out_val=result))
        return result


def counted(work: Callable[[], object]) -> int:
    """Return the number of operations in `work`'s matrix products and convolutions; a multiply-add counts as two."""
    with FlopCounter() as counter:
        work()
    return counter.total


def timed(work: Callable[[], object], device: str) -> float:
    """Return how many seconds pass until the device has finished `work`."""
    finish(device)
    began = time.perf_counter()
    work()
    finish(device)
    return time.perf_counter() - began


def finish(device: str) -> None:
    """Wait until a GPU has finished all requested work."""
    if device == "cuda":
        torch.cuda.synchronize()


def forget(device: str) -> None:
    """Release the memory left by earlier measurements, and reset the peak."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        forget_peak()


def peak(device: str) -> float | None:
    """Return the peak memory since `forget`, in megabytes of 10^6 bytes."""
    return torch.cuda.max_memory_allocated() / 1e6 if device == "cuda" else peak_mb()
