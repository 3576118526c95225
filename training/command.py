"""From a name, a prepared training set and settings to weights with their card."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

if TYPE_CHECKING:
    from training.prepared import PreparedSet

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


def default_config(name: str, clips: str) -> Path:
    """The settings a training has when none are given: those for the clips, else the published ones, in configs/."""
    own = ROOT / "configs" / f"{clips}_{name}.yaml"
    return own if own.is_file() or clips == "demo" else own.with_name(f"published_{name}.yaml")


def train(
    name: str,
    data: Path | Sequence[Path],
    config: Path,
    sets: Sequence[str],
    out: Path,
    device: str,
    init: Path | None = None,
) -> Path:
    """Train `name` on the rendered set in `data`, or on clip stores, and write `<out>/<name>.safetensors` and its card.

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
    source, pairs = open_data(data, drawn, recipe.training == "taught")
    if "databases" in source.facts:
        resolved["stores"] = source.facts["databases"]
    run = Run(trainer, pairs, plan, out, fabric)
    check_unchanged(out, resolved)
    print(f"Training {name} on {fabric.device}: {describe(trainer.networks())}, {source.describe()}.")
    run.train()

    weights = out / f"{name}.safetensors"
    save_weights(weights, trainer.networks(), card(name, resolved, source, run, fabric, init))
    return weights


def open_data(
    data: Path | Sequence[Path], drawn: DataSettings, taught: bool
) -> tuple[RenderedSet | PreparedSet, Batches]:
    """What is learnt from, and where its batches come from. BenchError for a taught training on clip stores."""
    if not isinstance(data, Path):
        if taught:
            raise BenchError("A taught training needs the exact flow of rendered clips. Say --clips demo.")
        from training.prepared import PreparedSet  # pydantic, which a GPU machine may lack

        prepared = PreparedSet(data, drawn.held_out, drawn.prepared)
        return prepared, prepared
    rendered = RenderedSet(data, drawn.held_out, drawn.variation, drawn.points)
    return rendered, rendered if taught else FramePairs(rendered)


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
    name: str,
    resolved: dict[str, Any],
    source: RenderedSet | PreparedSet,
    run: Run,
    fabric: Fabric,
    init: Path | None = None,
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
        "data": resolved["data"] | source.facts | _seen(source, init),
        "trained_on_identities": list(source.identities("train")),
        "validated_on_identities": list(source.identities("validation")),
        "kept_steps": run.progress["kept"],
        "minutes": round(run.progress["seconds"] / 60, 1),
        "threads": torch.get_num_threads(),
        "provenance": provenance(str(fabric.device)),
        "validation_log": validation.drop(columns="split").to_dict("records"),
    }


def _seen(source: RenderedSet | PreparedSet, init: Path | None) -> dict[str, list[str]]:
    """Clips and people of databases that the weights have seen: here, or before in those they started from."""
    before = clips_seen(init) if init else {}
    if not before and "clips_seen" not in source.facts:
        return {}
    return {
        f"{kind}_seen": sorted({*source.facts.get(f"{kind}_seen", ()), *before.get(kind, ())})
        for kind in ("clips", "people")
    }
