"""`bench.py figure ulme_maps`: what ULME-GAN paints and where it keeps the template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from megbench.commands.options import (
    DataOption,
    DriversOption,
    FaceOption,
    PortraitsOption,
    ProtocolOption,
    TemplatesOption,
    folders,
)
from megbench.commands.request import make_protocol
from megbench.core.errors import BenchError, check_choice

if TYPE_CHECKING:
    from megbench.core.clip import Cell

# The figure's columns show the driver's frames at these fractions of its length, and its strongest frame.
SHARES = (0.0, 0.5, 1.0)


def ulme_maps(
    cell: Annotated[str, typer.Option(help="driver__template; default: the protocol's first.")] = "",
    method: Annotated[str, typer.Option(help="ulmegan[@variant][:key=value;...].")] = "ulmegan",
    protocol: ProtocolOption = "demo",
    drivers: DriversOption = None,
    templates: TemplatesOption = None,
    data: DataOption = None,
    portraits: PortraitsOption = None,
    face: FaceOption = "",
    out: Annotated[Path, typer.Option(help="File (.png, .jpg, .svg, .pdf).")] = Path("ulme_maps.png"),
) -> None:
    """Draw ULME-GAN's attention (white keeps the template), colour map and picture for some of a driver's frames."""
    from megbench.methods import make_method, parse_label
    from megbench.reports.figures.grid import save_figure

    label = parse_label(method)
    if label.name != "ulmegan":
        raise BenchError(f"figure ulme_maps shows ulmegan, not {label.name!r}. Give --method ulmegan@VARIANT.")
    if label.magnify is not None:
        raise BenchError("figure ulme_maps shows what the network itself paints. Leave magnify out.")
    cells = {
        each.name: each for each in make_protocol(protocol, folders(drivers, templates, data, portraits), face).cells()
    }
    shown = cells[check_choice("cell", cell, cells)] if cell else next(iter(cells.values()))
    generator = make_method(label.name)(label.variant, label.options)
    generator.prepare("cpu")
    print(save_figure(draw(generator, shown, method), out))


def draw(generator: Any, cell: Cell, title: str) -> Any:
    """Draw what a prepared ULME-GAN paints for a cell (attention, colour map, picture), with a column per frame."""
    from matplotlib.figure import Figure

    from megbench.baselines.ulmegan.model import outside

    units = generator.units(cell.driver)
    sequence = generator.animator.sequence(units.intensity, units.presence)
    last = len(sequence) - 1
    frames = sorted({*(round(share * last) for share in SHARES), int(sequence.sum(1).argmax())})
    face = generator.face(cell.template)
    painted = generator.animator.paint(face, sequence[frames])
    attention = painted.attention[:, 0].cpu().numpy()
    rows = {"attention": attention, "colour map": outside(painted.colour), "picture": outside(painted.picture)}
    figure = Figure(figsize=(2 * len(frames) + 0.6, 6.6), layout="constrained")
    axes = figure.subplots(len(rows), len(frames), squeeze=False)
    for line, (label, pictures) in zip(axes, rows.items(), strict=True):
        for place, picture, frame in zip(line, pictures, frames, strict=True):
            place.imshow(picture, cmap="gray", vmin=0, vmax=1 if label == "attention" else 255)
            place.set(xticks=[], yticks=[])
            place.set_title(f"frame {frame}" if label == "attention" else "", fontsize=9)
        line[0].set_ylabel(label)
    figure.suptitle(f"{title}, {cell.driver.name} on {cell.template.name}", fontsize=10)
    return figure
