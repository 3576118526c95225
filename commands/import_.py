"""`bench.py import`: a published checkpoint made usable by name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer
from megbench.commands.options import user_weights
from megbench.core.errors import BenchError, check_choice

# What imported weights are called, unless --as says otherwise.
VARIANT = "published"


def import_(
    name: Annotated[str, typer.Argument(help="Whose checkpoint it is: fpfomm, fomm or mraa.")],
    checkpoint: Annotated[Path, typer.Argument(help="The file, such as vox-cpk.pth.tar.")],
    variant: Annotated[str, typer.Option("--as", help="Name of the weights: NAME@VARIANT.")] = VARIANT,
) -> None:
    """Check a published checkpoint and keep it as NAME@VARIANT."""
    from megbench.core.weights.published_checkpoints import import_checkpoint
    from megbench.training import TRAINABLES
    from megbench.training.published import PUBLISHED, layouts, layouts_besides

    weights = user_weights(name, variant)
    if name in TRAINABLES and name not in PUBLISHED:
        place = weights.with_suffix(".pth.tar")
        raise BenchError(
            f"Checkpoints of {name} are not imported but read as they are: copy {checkpoint} to {place}, then run"
            f" --methods {weights.stem}. Methods with an import: {', '.join(PUBLISHED)}."
        )
    check_choice("method with published checkpoints", name, PUBLISHED)
    others = functools.partial(layouts_besides, name)
    card = import_checkpoint(name, checkpoint, layouts(name), weights, others)
    told = [f"Left out: {', '.join(card['left_out'])}."] if card["left_out"] else []
    told += [f"{change.capitalize()}." for change in card["changed"]]
    print(" ".join([f"Weights: {weights}, sha256 {card['sha256']}.", *told, f"Use them as --methods {weights.stem}"]))
