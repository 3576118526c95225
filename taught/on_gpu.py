"""The steps of training/on_gpu.sh: render people, train, measure."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from megbench.core.config import resolve
from megbench.core.files.cache import write_json
from megbench.core.provenance import lacks_bfloat16, provenance
from megbench.core.registry import load
from megbench.taught import CONFIGS, TRAININGS
from megbench.taught.bundle_render import render
from megbench.taught.rendered import rendered_set
from megbench.training import TRAINABLES
from megbench.training.command import published_config, train
from megbench.training.loader import Part
from megbench.training.log import LOG
from megbench.training.loop import TrainingRun
from megbench.training.plan import Limits, Plan, StagePlan
from megbench.training.processes import Group, Machine

MODELS = ("fpfomm", "fomm", "mraa")
# Widths that two CPU cores can train, as for the demo weights.
SMALL = (
    "model.detector={hourglass: {block_expansion: 16, max_features: 96}}",
    "model.dense_motion={hourglass: {block_expansion: 24, max_features: 96}}",
    "model.generator={block_expansion: 16, max_features: 64, num_bottleneck_blocks: 3}",
)
BATCH = {"full": 16, "small": 8}  # pairs a step on each device
ROUNDS = 10


def learn(name: str, size: str, data: Path, out: Path, machine: Machine, limits: Limits) -> None:
    """Train `name` on the set in `data`: "full" on the published losses, "small" taught by exact flow.

    Small weights and every log go to `out`; full weights are some 100 MB and go to `out`/full.
    """
    work = out / "runs" / f"{name}-{size}"
    often = ["plan.log_every=10", "plan.validation_batches=2", "data.held_out=2"]
    if size == "full":
        # VGG weights would have to be downloaded: use the loss that needs none.
        sets = ["loss.perceptual=pyramid", "plan.precision=bf16", "plan.validate_every=200", *often]
        config, target = published_config(load("trainable", name, TRAINABLES)), out / "full" / f"{name}.safetensors"
    else:
        sets = ["plan.validate_every=250", *often]
        config, target = CONFIGS / f"{name}.yaml", out / f"{name}.safetensors"
    batch = BATCH[size] * machine.devices
    # The limits decide the number of steps, so the best step at which to freeze the batch norms is unknown.
    settings = json.dumps({"steps": 100_000, "batch_size": batch, "freeze_batch_norm_at": None})
    stage = "main" if size == "full" else "motion"
    sets.append(f"plan.stages={{{stage}: {settings}}}")
    train(name, TRAININGS, rendered_set(lambda: data), config, sets, work, target, machine, None, limits)
    shutil.copyfile(work / LOG, out / f"{name}-{size}.{LOG}")


def measure(out: Path, device: str) -> None:
    """Write `speed.json`: the machine, and median seconds of a training step of each full model by precision."""
    figures: dict[str, Any] = {"provenance": provenance(device), "seconds_per_step": {}}
    batch_size = 16 if device == "cuda" else 1
    small = () if device == "cuda" else SMALL
    precisions = ("float32",) if device == "cpu" and lacks_bfloat16() else ("float32", "bf16")
    for name in MODELS:
        for precision in precisions:
            seconds = step_seconds(name, precision, device, batch_size, small)
            figures["seconds_per_step"][f"{name} {precision}"] = round(seconds, 4)
    figures |= {"batch_size": batch_size, "sizes": "published" if device == "cuda" else "small"}
    write_json(out / "speed.json", figures)
    print(json.dumps(figures["seconds_per_step"], indent=1))


def step_seconds(name: str, precision: str, device: str, batch_size: int, small: tuple[str, ...]) -> float:
    """Return the median seconds of a whole training step on random pictures, without the loader.

    The time includes the device's work.
    """
    recipe = resolve(load("trainable", name, TRAINABLES), [], [*small, "model.loss.perceptual=pyramid"])
    plan = Plan({"main": StagePlan(ROUNDS + 3, batch_size)}, precision=precision)  # type: ignore[arg-type]
    group = Group(torch.device(device))
    run = TrainingRun(recipe.trainer(), None, plan, Path(tempfile.gettempdir()), group)  # type: ignore[arg-type]
    for network in run.networks.values():
        network.train()
    optimisers = run._optimisers("main")
    pictures = {name: torch.rand(batch_size, 3, 256, 256, device=group.device) for name in ("source", "driving")}
    batch = pictures | {"landmarks": 60 + 140 * torch.rand(batch_size, 68, 2, device=group.device)}
    seconds = []
    for index in range(ROUNDS if device == "cuda" else 2):
        began = time.perf_counter()
        run._step("main", index, [Part(batch, np.random.default_rng(index))], optimisers)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[len(seconds) // 3 :])


def main() -> None:
    """Run one of the script's steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    rendering = steps.add_parser("render")
    rendering.add_argument("bundle", type=Path)
    rendering.add_argument("folder", type=Path)
    rendering.add_argument("--states", type=int, default=60)
    training = steps.add_parser("train")
    training.add_argument("name", choices=MODELS)
    training.add_argument("size", choices=("full", "small"))
    training.add_argument("data", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("--devices", type=int, default=1)
    training.add_argument("--minutes", type=float)
    training.add_argument("--steps", type=int)
    measuring = steps.add_parser("measure")
    measuring.add_argument("out", type=Path)
    for one in (training, measuring):
        one.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    given = parser.parse_args()
    if given.step == "render":
        render(given.bundle, given.folder, given.states)
    elif given.step == "train":
        machine = Machine(given.device, given.devices)
        learn(given.name, given.size, given.data, given.out, machine, Limits(given.steps, given.minutes))
    else:
        measure(given.out, given.device)


if __name__ == "__main__":
    main()
