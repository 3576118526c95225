"""A small training run that tests kill, or run as one of two processes."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from megbench.core.config import resolve
from megbench.fpfomm.training import Recipe
from megbench.training.loop import TrainingRun
from megbench.training.plan import Plan, StagePlan
from megbench.training.processes import Group
from tests.golden.fill import fill

SIZE = 64

SMALL = {
    "model": {
        "image_size": SIZE,
        "detector": {"hourglass": {"block_expansion": 4, "max_features": 8, "num_blocks": 3}},
        "dense_motion": {"hourglass": {"block_expansion": 4, "max_features": 8, "num_blocks": 3}},
        "generator": {"block_expansion": 4, "max_features": 8, "num_bottleneck_blocks": 1},
        "discriminator": {"block_expansion": 4, "max_features": 8},
        "loss": {"perceptual": "pyramid"},
    }
}


class Shifted:
    """Two "frames" of a smooth picture, the second slightly shifted and brighter, with random landmarks."""

    def __init__(self, dtype):
        self.dtype = dtype

    def batch(self, split, size, rng):
        """Return a batch of source, driving frame and landmarks."""
        assert size == 1
        coarse = torch.from_numpy(rng.random((1, 3, 9, 9))).to(self.dtype)
        picture = F.interpolate(coarse, size=SIZE + 8, mode="bicubic").clamp(0, 1)
        x, y = rng.integers(0, 8, 2)
        landmarks = torch.from_numpy(rng.uniform(15, 50, (1, 68, 2)).astype(np.float32))
        return {
            "source": picture[:, :, :SIZE, :SIZE],
            "driving": picture[:, :, y : y + SIZE, x : x + SIZE] ** 0.9,
            "landmarks": landmarks,
        }


def train(out: Path, steps: int, dtype: torch.dtype, group: Group) -> None:
    """Train FPB-FOMM with all stateful parts: batch norm, adversary and moving average; validate every four steps."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    trainer = resolve(Recipe, [SMALL]).trainer()
    for network in trainer.networks().values():
        fill(network, "").to(dtype)  # initial jacobians are the identity, where sampling has two slopes, not one
    stages = {"main": StagePlan(steps, batch_size=4)}
    plan = Plan(stages, ema=0.9, validate_every=4, validation_batches=1, log_every=1, save_seconds=0)
    TrainingRun(trainer, Shifted(dtype), plan, out, group).train()
