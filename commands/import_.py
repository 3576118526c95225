"""`bench.py import`: make a published checkpoint usable by name."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated

import typer

from megbench.baselines import GENERATORS
from megbench.commands.options import user_weights
from megbench.core.errors import BenchError, check_choice
from megbench.core.generator import descriptors, generators

# The variant name of imported weights unless --as gives another.
VARIANT = "published"
IMPORTED = [name for name, generator in descriptors(GENERATORS).items() if generator.published]


def import_(
    name: Annotated[str, typer.Argument(help=f"The checkpoint's method: {', '.join(IMPORTED)}.")],
    checkpoint: Annotated[Path, typer.Argument(help="The checkpoint file, such as vox-cpk.pth.tar.")],
    variant: Annotated[str, typer.Option("--as", help="Name of the weights: NAME@VARIANT.")] = VARIANT,
) -> None:
    """Check a published checkpoint and save it as NAME@VARIANT."""
    from megbench.core.weights.published_checkpoints import import_checkpoint
    from megbench.training.published import layouts, layouts_besides

    weights = user_weights(name, variant)
    known = generators(GENERATORS)
    imported = [each.name for each in known.values() if each.published]
    generator = known[check_choice("method with published checkpoints", name, imported if name not in known else known)]
    if not generator.published:
        place = weights.with_suffix(".pth.tar")
        raise BenchError(
            f"Checkpoints of {name} are not imported but read directly: copy {checkpoint} to {place}, then pass"
            f" --methods {weights.stem}. Methods whose checkpoints are imported: {', '.join(imported)}."
        )
    others = functools.partial(layouts_besides, name)
    card = import_checkpoint(name, checkpoint, layouts(generator), weights, others)
    told = [f"Left out: {', '.join(card['left_out'])}."] if card["left_out"] else []
    told += [f"{change.capitalize()}." for change in card["changed"]]
    print(" ".join([f"Weights: {weights}, sha256 {card['sha256']}.", *told, f"Use them as --methods {weights.stem}"]))
