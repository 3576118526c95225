"""From a name, a prepared training set and settings to weights with their card."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning.fabric import Fabric

from core.config import as_dict, build, merge, parse_set, read_overlay
from core.errors import BenchError
from core.provenance import provenance
from core.registry import load
from core.weights import save_weights
from training import TRAINABLES
from training.loop import Run
from training.plan import Plan
from training.rendered import Augmentation, RenderedSet

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """What is drawn from a training set. held_out: identities that only validate."""

    held_out: int = 4
    augmentation: Augmentation = Augmentation()


def default_config(name: str, clips: str) -> Path:
    """The settings a training has when none are given: `configs/<clips>_<name>.yaml`."""
    return ROOT / "configs" / f"{clips}_{name}.yaml"


def train(name: str, data: Path, config: Path, sets: Sequence[str], out: Path, device: str) -> Path:
    """Train `name` on the rendered set in `data` and write `<out>/<name>.safetensors` with its JSON card.

    Continues from `out` if a run was cut off there; BenchError if the settings there are different ones.
    Returns the path of the weights.
    """
    kind = load("trainable", name, TRAINABLES)
    settings = read_overlay(config)
    for item in sets:
        settings = merge(settings, parse_set(item))
    plan = build(Plan, settings.pop("plan", {}), "plan")
    drawn = build(DataSettings, settings.pop("data", {}), "data")
    recipe = build(kind, settings, "")
    resolved = {"recipe": as_dict(recipe), "plan": as_dict(plan), "data": as_dict(drawn)}
    check_unchanged(out, resolved)

    torch.manual_seed(plan.seed)
    fabric = Fabric(accelerator=device, devices=1)
    trainer = recipe.trainer()
    source = RenderedSet(data, drawn.held_out, drawn.augmentation)
    run = Run(trainer, source, plan, out, fabric)
    print(f"Training {name} on {fabric.device}: {describe(trainer.networks())}, {source.describe()}.")
    run.train()

    weights = out / f"{name}.safetensors"
    save_weights(weights, trainer.networks(), card(name, resolved, source, run, fabric))
    return weights


def check_unchanged(out: Path, resolved: dict[str, Any]) -> None:
    """Write `config.json` into `out`, or hold the one that is there against `resolved`."""
    path = out / "config.json"
    text = json.dumps(resolved, indent=1)
    if not path.exists():
        out.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    elif json.loads(path.read_text()) != json.loads(text):
        raise BenchError(
            f"{out} holds a training with other settings (see {path.name}). Give another --out, or delete the folder."
        )


def describe(networks: dict[str, torch.nn.Module]) -> str:
    """Sizes of the networks in words."""
    counts = {name: sum(parameter.numel() for parameter in net.parameters()) for name, net in networks.items()}
    return ", ".join(f"{name} {count / 1e6:.2f} M parameters" for name, count in counts.items())


def card(name: str, resolved: dict[str, Any], source: RenderedSet, run: Run, fabric: Fabric) -> dict[str, Any]:
    """What a reader of the weights must know: settings, data, length, machine, losses."""
    log = pd.read_csv(run.out / "log.csv")
    validation = log[log["split"] == "validation"]
    return {
        "method": name,
        "config": resolved["recipe"]["model"],
        "training": {key: value for key, value in resolved["recipe"].items() if key != "model"},
        "plan": resolved["plan"],
        "data": resolved["data"] | source.facts,
        "trained_on_identities": list(source.identities("train")),
        "validated_on_identities": list(source.identities("validation")),
        "minutes": round(run.progress["seconds"] / 60, 1),
        "threads": torch.get_num_threads(),
        "provenance": provenance(str(fabric.device)),
        "validation_log": validation.drop(columns="split").to_dict("records"),
    }
