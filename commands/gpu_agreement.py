"""Compare a device's results with the CPU's: the frames and one training step of every generator.

Both devices start from the demo weights and use the same pictures (commands/gpu_material.py). TensorFloat-32 is off, so
they differ only in the order of summation and in the choice of algorithms.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from megbench.commands.gpu_material import STATES, Material
from megbench.core.config import resolve
from megbench.core.frames import Frames
from megbench.core.registry import load
from megbench.core.weights.network_weights import load_networks, read_card
from megbench.methods import make_method
from megbench.methods.cards import current, demo_weights
from megbench.taught import TAUGHT
from megbench.training.loop import TrainingRun
from megbench.training.plan import Plan, StagePlan
from megbench.training.processes import Group

# The number of pairs in the training step. Batch normalisation works on both together.
PAIRS = 2


@dataclass(frozen=True)
class Difference:
    """The differences between a device's results and the CPU's.

    largest, mean: the largest and the mean difference in the frames, in levels from 0 to 255. loss: the relative
    difference in the sum of the step's losses. gradient: the norm of the difference between the gradients of all
    parameters after the step, relative to the norm of the CPU's gradients.
    """

    largest: float
    mean: float
    loss: float
    gradient: float

    @property
    def within(self) -> bool:
        """Whether every difference is within its bound; NaN is never within a bound."""
        return all(getattr(self, name) <= bound for name, bound in BOUNDS.items())


# Everything was computed twice on one CPU (AMD EPYC, PyTorch 2.15), with oneDNN's convolutions and with PyTorch's own.
# Over the six generators, the largest differences were 1 level in a frame, 0.00004 levels in the mean, and relative
# differences of 3.7e-5 in the loss and 1.8e-4 in the gradient. The kernels of a GPU may differ more. The bounds of the
# mean and of the gradient are therefore 25 and 28 times these values; that of the loss, which is a mean over many
# pixels, is 2.7 times its value.
BOUNDS = {"largest": 1.0, "mean": 1e-3, "loss": 1e-4, "gradient": 5e-3}


def difference(name: str, device: str, material: Material) -> Difference:
    """Return how far a generator's frames and training step on `device` differ from those on the CPU."""
    expected, found = (frames(name, where, material).astype(np.float32) for where in ("cpu", device))
    off = np.abs(found - expected)
    (loss, gradient), (other_loss, other_gradient) = (step(name, where, material) for where in ("cpu", device))
    return Difference(
        float(off.max()),
        float(off.mean()),
        abs(other_loss - loss) / abs(loss),
        float((other_gradient - gradient).norm() / gradient.norm()),
    )


def frames(name: str, device: str, material: Material) -> Frames:
    """Return the frames that a generator makes with its demo weights: uint8 (STATES, 256, 256, 3) RGB."""
    method = make_method(name)("", {})
    method.prepare(device)
    scene = material.scene(STATES)
    return scene.animated(method.generator, method.mode, method.animator, method.networks, device)


def step(name: str, device: str, material: Material) -> tuple[float, Tensor]:
    """Run one step of the last stage of the training that made the demo weights, starting from these weights.

    Return the sum of the step's losses, and the gradients as one vector of float64 on the CPU.
    """
    trainer, points = trainer_of(name)
    stage = trainer.stages[-1]
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan({stage: StagePlan(steps=1, batch_size=PAIRS)})
        group = Group(torch.device(device))
        run = TrainingRun(trainer, material.batches("taught", points), plan, Path(folder), group)
        losses = next(run.repeated(stage))
    gradients = [
        parameter.grad.flatten().double().cpu()
        for network in trainer.networks().values()
        for parameter in network.parameters()
        if parameter.grad is not None
    ]
    return sum(float(loss) for loss in losses.values()), torch.cat(gradients)


def trainer_of(name: str) -> tuple[Any, int]:
    """Return the trainer of a generator, with the demo weights loaded, and the number of mesh points that it uses."""
    weights = demo_weights(name)
    card = read_card(weights)
    settings = {part: value for part, value in card["training"].items() if part != "training"}
    recipe: Any = resolve(load("trainable", name, TAUGHT), [{"model": current(card["config"]), **settings}])
    trainer = recipe.trainer()
    load_networks(weights, trainer.networks())
    return trainer, card["data"].get("points", 10)
