"""`bench.py train`: from clips to weights."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from megbench.baselines import GENERATORS
from megbench.commands.clip_stores import clip_stores
from megbench.commands.options import Device, DeviceOption, resolve_device, resumable, user_weights
from megbench.core.errors import BenchError
from megbench.core.files.working_folder import STORE
from megbench.core.generator import KIND, generators, recipes
from megbench.core.registry import load, names
from megbench.training import TRAINABLES

if TYPE_CHECKING:
    from megbench.training.command import TrainingSource

DEMO, MIX = "demo", "mix"
# The variant name of weights trained on the rendered set unless --as gives another.
OWN = "mine"


class LeaveOut(StrEnum):
    """Clips excluded from training: the challenge's drivers, all clips of the people in them, or nothing."""

    drivers = "drivers"
    people = "people"
    nothing = "nothing"


def trainable_names() -> list[str]:
    """Return the names of all methods that can be trained, with installed plug-ins last. No plug-in is loaded."""
    return names("trainable", names(KIND, TRAINABLES))


@resumable()
def train(
    name: Annotated[str, typer.Argument(help=f"A method that can be trained: {', '.join(trainable_names())}.")],
    clips: Annotated[
        str, typer.Option(help="demo (rendered people), or NAME=PATH[,NAME=PATH]: databases, raw or prepared.")
    ] = DEMO,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file; default: the published settings, or those of the demo weights for demo."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: a.b=value; may be repeated.")
    ] = None,
    variant: Annotated[str, typer.Option("--as", help="Name of the weights; default: database, mix or mine.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="Training folder; default: .megbench/training/<name>@<variant>.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to start from; default: random initial weights.")] = None,
    leave_out: Annotated[
        LeaveOut | None, typer.Option(help="Which clips of a database to exclude from training; default: drivers.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this many steps in total.")] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Stop this call after this many minutes.")] = None,
    device: DeviceOption = Device.auto,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or CPU processes) on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines, which share --out; start each as with torchrun.")] = 1,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print all settings, as a file for --config; train nothing.")
    ] = False,
) -> None:
    """Train a method; to resume after an interruption or a limit, run the same command again."""
    from megbench.taught import TRAININGS
    from megbench.training import command as training
    from megbench.training.plan import Limits
    from megbench.training.prepared import prepared_set

    trainings = TRAININGS | {"published": recipes(generators(GENERATORS))}
    # An unknown name is reported before anything is rendered or prepared.
    recipe = load("trainable", name, trainings["published"])
    if init is not None and not init.is_file():
        raise BenchError(f"--init {init} is not a file. Pass a .safetensors weights file or a checkpoint.")
    defaults = default_configs(name, clips, recipe)
    changes = list(overrides or [])
    if clips != DEMO and leave_out is not None:
        changes.append(f"data.prepared.leave_out={leave_out}")
    if settings:
        source = training_data(DEMO)[1] if clips == DEMO else prepared_set([])
        print(training.choose(name, trainings, source, config, changes, defaults).text(), end="")
        return
    label, source = training_data(clips)
    weights = user_weights(name, variant or (OWN if label == DEMO else label))
    folder = out or STORE / "training" / weights.stem
    if weights.exists() and not folder.exists():
        raise BenchError(
            f"{weights} contains weights from another training run. Choose another name with --as, or move the file."
        )
    training.train(
        name,
        trainings,
        source,
        config,
        changes,
        folder,
        weights,
        training.Machine(resolve_device(device), devices, nodes),
        init,
        Limits(max_steps, max_minutes),
        defaults,
    )


def default_configs(name: str, clips: str, recipe: type) -> dict[str, Path]:
    """Return the existing files with default settings, by kind of training; the kind of the demo weights comes first.

    The demo weights' kind requires rendered people.
    """
    from megbench.taught import CONFIGS
    from megbench.training.command import PUBLISHED, published_config

    places = {"taught": CONFIGS / f"{name}.yaml"} if clips == DEMO else {}
    return {kind: path for kind, path in {**places, PUBLISHED: published_config(recipe)}.items() if path.is_file()}


def training_data(clips: str) -> tuple[str, TrainingSource]:
    """Return what --clips stands for: the variant's name ("demo", a database or "mix") and the training data.

    A raw database is prepared first. Raise BenchError if `clips` has none of these forms, or if a store contains
    another database.
    """
    if clips == DEMO:
        from megbench.taught.rendered import rendered_set
        from megbench.taught.training_set import DEMO_SET, demo_set

        folder = STORE.resolve() / "clips"
        return DEMO, rendered_set(lambda: demo_set(folder), DEMO_SET[0])  # rendered after the settings are checked
    from megbench.training.prepared import prepared_set

    stores = clip_stores(clips, "--clips", "demo or ")
    return (next(iter(stores)) if len(stores) == 1 else MIX), prepared_set(list(stores.values()))
