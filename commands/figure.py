"""`bench.py figure`: draw the papers' figures from any run, and the facial prior on any portrait."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from megbench.commands.options import names
from megbench.commands.ulme_maps import ulme_maps

app = typer.Typer(help="Draw the papers' figures: prior, strip, variants, gif, ulme_maps.", no_args_is_help=True)
app.command("ulme_maps")(ulme_maps)

CellsOption = Annotated[list[str] | None, typer.Option("--cell", help="driver__template; may be repeated.")]
RowsOption = Annotated[str, typer.Option("--rows", help="Comma-separated rows of the run; default: all methods.")]
OutOption = Annotated[Path | None, typer.Option(help="File (.png, .jpg, .svg, .pdf); default: in the run's folder.")]


class Kind(StrEnum):
    """The two published versions of the prior."""

    code = "code"
    paper = "paper"


@app.command()
def prior(
    portrait: Annotated[Path | None, typer.Argument(help="A picture with one face; default: Grace Hopper.")] = None,
    point: Annotated[int, typer.Option(min=0, max=17, help="The point whose map is shown alone.")] = 0,
    kind: Annotated[Kind, typer.Option(help="As the code computes it, or as the paper prints it.")] = Kind.code,
    out: Annotated[Path, typer.Option(help="File (.png, .jpg, .svg, .pdf).")] = Path("prior.png"),
) -> None:
    """Draw the 18 given points and the prior maps of one point and of all points (MM '21, figures 2 and 3)."""
    import torch

    from megbench.clips.folder import template
    from megbench.clips.portraits import portrait_path
    from megbench.core.frames import grey
    from megbench.faces.landmarks import landmarks
    from megbench.fpfomm.points import given_points
    from megbench.fpfomm.prior import PriorConfig, prior_map
    from megbench.reports.figures.grid import save_figure
    from megbench.reports.figures.prior import draw_prior

    face = template(portrait or portrait_path("hopper"), "portrait").image
    points = given_points(torch.from_numpy(landmarks(grey(face[None])[0], "portrait"))[None])
    config = PriorConfig(kind=kind.value)
    one, every = (prior_map(config, some)[0, 0].numpy() for some in (points[:, point : point + 1], points))
    print(save_figure(draw_prior(face, points[0].numpy(), one, every, point), out))


@app.command()
def strip(
    run: Path,
    cell: str = "",
    rows: RowsOption = "",
    without_head: Annotated[bool, typer.Option("--without-head", help="Remove head motion from differences.")] = False,
    out: OutOption = None,
) -> None:
    """Draw template, driver, truth and rows from onset to offset, with differences below (MM '21, figure 4)."""
    from megbench.reports.figures.grid import save_figure
    from megbench.reports.figures.shown import chosen_cells
    from megbench.reports.figures.strip import draw_strip
    from megbench.reports.run_files import FinishedRun

    opened = FinishedRun(run)
    (chosen,) = chosen_cells(opened, [cell] if cell else [])
    figure = draw_strip(opened, chosen, names(rows), without_head)
    print(save_figure(figure, out or run / "figures" / f"strip_{chosen.name}.png"))


@app.command()
def variants(run: Path, cell: CellsOption = None, rows: RowsOption = "", out: OutOption = None) -> None:
    """Draw the source, the driver and the run's rows side by side at the apex (MM '21, figure 5)."""
    from megbench.reports.figures.grid import save_figure
    from megbench.reports.figures.shown import chosen_cells
    from megbench.reports.figures.variants import draw_variants
    from megbench.reports.run_files import FinishedRun

    opened = FinishedRun(run)
    figure = draw_variants(opened, chosen_cells(opened, cell or []), names(rows))
    print(save_figure(figure, out or run / "figures" / "variants.png"))


@app.command()
def gif(
    run: Path,
    cell: CellsOption = None,
    rows: RowsOption = "",
    slower: Annotated[float, typer.Option(min=0.1, max=1000, help="How many times slower than recorded.")] = 8,
    differences: Annotated[bool, typer.Option("--differences", help="Show amplified differences below.")] = False,
    out: Annotated[Path | None, typer.Option(help="File (.gif); default: in the run's folder.")] = None,
) -> None:
    """Write an animated table of source, driver and methods in slow motion."""
    from megbench.reports.figures.gif import write_gif
    from megbench.reports.figures.shown import chosen_cells
    from megbench.reports.run_files import FinishedRun

    opened = FinishedRun(run)
    target = out or run / "figures" / "table.gif"
    print(write_gif(opened, chosen_cells(opened, cell or []), names(rows), slower, differences, target))
