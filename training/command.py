"""From a name, a prepared training set and settings to weights with their card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd
import torch
from lightning.fabric import Fabric

from core.config import as_dict, merge, parse_set, read_overlay, resolve
from core.errors import BenchError
from core.provenance import provenance
from core.registry import load
from core.store import write_json
from core.weights import clips_seen, load_networks, save_weights, weights_hash
from training import TRAINABLES
from training.loop import LOG, Batches, Run
from training.plan import Plan
from training.rendered import FramePairs, RenderedSet
from training.variation import PreparedSettings, Variation

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What is drawn from a training set. held_out: identities that only validate.

    points: of the mesh, 10, or 50 for TPS. variation is of rendered sets, prepared of clip stores.
    """

    held_out: int = 4
    points: Literal[10, 50] = 10
    variation: Variation = Variation()
    prepared: PreparedSettings = PreparedSettings()


class TrainingSet(Batches, Protocol):
    """Clips to learn from: `batch` draws from them, the rest describes them."""

    @property
    def videos(self) -> int:
        """How many clips an epoch visits."""

    def describe(self) -> str:
        """The set in words."""

    def facts(self) -> dict[str, Any]:
        """For the weights' card, as JSON values: where the set is from, who was trained on, who validated."""


# Makes the set: from its settings, and whether the training is taught by exact flow.
OpenSet = Callable[[DataSettings, bool], TrainingSet]


def rendered_set(folder: Path) -> OpenSet:
    """The rendered set in `folder`: whole for a taught training, else two frames of one person at a time."""

    def make(settings: DataSettings, taught: bool) -> TrainingSet:
        rendered = RenderedSet(folder, settings.held_out, settings.variation, settings.points)
        return rendered if taught else FramePairs(rendered)

    return make


def default_config(name: str, clips: str) -> Path:
    """The settings a training has when none are given: `configs/<clips>_<name>.yaml`, else the published ones."""
    path = ROOT / "configs" / f"{clips}_{name}.yaml"
    return path if path.exists() else path.with_name(f"published_{name}.yaml")


def train(
    name: str, open_set: OpenSet, config: Path, sets: Sequence[str], out: Path, device: str, init: Path | None = None
) -> Path:
    """Train `name` on a training set and write `<out>/<name>.safetensors` with its JSON card.

    init: weights to start from instead of random ones. Continues from `out` if a run was cut off there; BenchError if
    the settings there are different ones. Returns the path of the weights.
    """
    kind = load("trainable", name, TRAINABLES)
    settings = read_overlay(config)
    for item in sets:
        settings = merge(settings, parse_set(item))
    if "loss" in settings:  # the losses are the model's, but loss.perceptual is what people look for
        settings = merge(settings, {"model": {"loss": settings.pop("loss")}})
    plan = resolve(Plan, [settings.pop("plan", {})])
    drawn = resolve(DataSettings, [settings.pop("data", {})])
    recipe = resolve(kind, [settings])
    resolved: dict[str, Any] = {"recipe": as_dict(recipe), "plan": as_dict(plan), "data": as_dict(drawn)}

    torch.manual_seed(plan.seed)
    # TensorFloat-32 keeps ten bits; half a pixel of motion needs more.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    fabric = Fabric(accelerator=device, devices=1)
    trainer = recipe.trainer()
    if init is not None:
        load_networks(init, trainer.networks())
        resolved["init"] = f"{init.name} {weights_hash(init)}"
    clips = open_set(drawn, recipe.training == "taught")
    if stores := clips.facts().get("stores"):  # other clips are another training
        resolved["stores"] = stores
    run = Run(trainer, clips, plan, out, fabric)
    check_unchanged(out, resolved)
    print(f"Training {name} on {fabric.device}: {describe(trainer.networks())}, {clips.describe()}.")
    run.train()

    weights = out / f"{name}.safetensors"
    save_weights(weights, trainer.networks(), card(name, resolved, clips, run, fabric, init))
    return weights


def check_unchanged(out: Path, resolved: dict[str, Any]) -> None:
    """Write `config.json` into `out`, or hold the one that is there against `resolved`."""
    path = out / "config.json"
    if not path.exists():
        write_json(path, resolved)
    elif json.loads(path.read_text()) != json.loads(json.dumps(resolved)):
        raise BenchError(
            f"{out} holds a training with other settings (see {path.name}). Give another --out, or delete the folder."
        )


def describe(networks: dict[str, torch.nn.Module]) -> str:
    """Sizes of the networks in words."""
    counts = {name: sum(parameter.numel() for parameter in net.parameters()) for name, net in networks.items()}
    return ", ".join(f"{name} {count / 1e6:.2f} M parameters" for name, count in counts.items())


def card(
    name: str, resolved: dict[str, Any], clips: TrainingSet, run: Run, fabric: Fabric, init: Path | None = None
) -> dict[str, Any]:
    """What a reader of the weights must know: settings, data, length, machine, losses."""
    log = pd.read_csv(run.out / LOG)
    validation = log[log["split"] == "validation"]
    return {
        "method": name,
        "config": resolved["recipe"]["model"],
        "training": {key: value for key, value in resolved["recipe"].items() if key != "model"},
        "plan": resolved["plan"],
        "init": resolved.get("init", "random"),
        "data": resolved["data"] | seen_before(init, clips.facts()),
        "kept_steps": run.progress["kept"],
        "minutes": round(run.progress["seconds"] / 60, 1),
        "threads": torch.get_num_threads(),
        "provenance": provenance(str(fabric.device)),
        "validation_log": validation.drop(columns="split").to_dict("records"),
    }


def seen_before(init: Path | None, facts: dict[str, Any]) -> dict[str, Any]:
    """Facts of a training set, with what the weights that it started from had seen before added to what it shows."""
    before = clips_seen(init) if init else {}
    return facts | {f"{kind}_seen": sorted({*names, *facts.get(f"{kind}_seen", ())}) for kind, names in before.items()}
