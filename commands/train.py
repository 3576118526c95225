"""`bench.py train`: from clips to weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.options import STORE, Device, DeviceOption, resolve_device
from core.errors import check_choice


def train(
    name: Annotated[str, typer.Argument(help="A method that learns: fpfomm, fomm, mraa, tps, tps_rau or ulmegan.")],
    clips: Annotated[str, typer.Option(help="What to learn from: demo (rendered people).")] = "demo",
    config: Annotated[Path | None, typer.Option(help="Settings; default: configs/<clips>_<name>.yaml.")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, may be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default: .megbench/training/<config>.")] = None,
    init: Annotated[Path | None, typer.Option(help="Weights to start from; default: random ones.")] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Train a method; the same command goes on where it was cut off."""
    from training import TRAINABLES
    from training import command as training

    check_choice("trainable method", name, TRAINABLES)
    check_choice("--clips", clips, ["demo"])
    from clips.synthetic.training_set import demo_set

    settings = config or training.default_config(name, clips)
    weights = training.train(
        name,
        demo_set(STORE.resolve() / "clips"),
        settings,
        overrides or [],
        out or STORE / "training" / settings.stem,
        resolve_device(device),
        init,
    )
    print(
        f"Weights: {weights}. To use them as {name}@mine: copy this file and its .json to {STORE}/weights/{name}@mine.*"
    )
