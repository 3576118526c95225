"""`bench.py train`: from clips to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import STORE, Device, DeviceOption, resolve_device, user_weights
from core.errors import check_choice

# What weights learnt from the rendered set are called, unless --as says otherwise.
OWN = "mine"


def train(
    name: Annotated[str, typer.Argument(help="A method that learns: fpfomm, fomm or mraa.")],
    clips: Annotated[str, typer.Option(help="What to learn from: demo (rendered people).")] = "demo",
    variant: Annotated[str, typer.Option("--as", help="Name of the weights: NAME@VARIANT; default: mine.")] = OWN,
    config: Annotated[Path | None, typer.Option(help="Settings; default: configs/<clips>_<name>.yaml.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: .megbench/training/<name>@<variant>.")] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to start from; default: random ones.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps in all.")] = None,
    max_minutes: Annotated[float | None, typer.Option(min=0, help="Stop this call after so many minutes.")] = None,
    device: DeviceOption = Device.auto,
    devices: Annotated[int, typer.Option(min=1, help="GPUs (or CPU processes) on each machine.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start the command on each, as torchrun does.")] = 1,
) -> None:
    """Train a method; the same command goes on where it was cut off or came to a limit."""
    from training import TRAINABLES
    from training import command as training
    from training.plan import Limits

    check_choice("trainable method", name, TRAINABLES)
    check_choice("--clips", clips, ["demo"])
    weights = user_weights(name, variant)
    from clips.synthetic.training_set import demo_set

    training.train(
        name,
        training.rendered_set(demo_set(STORE.resolve() / "clips")),
        config or training.default_config(name, clips),
        overrides or [],
        out or STORE / "training" / weights.stem,
        weights,
        training.Machine(resolve_device(device), devices, nodes),
        init,
        Limits(max_steps, max_minutes),
    )
